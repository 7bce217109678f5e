"""WeChat's server API: messages to members, its access tokens, and what it calls back with."""
