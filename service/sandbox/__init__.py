"""Stand-ins for WeChat, APNs, FCM and JPush, for the demo, tests and benchmarks: the real rules, and faults on demand.

Everything is in the memory of one process; it listens where it is told to and asks nobody who they are. It imports
nothing of the product: what both sides understand they have from the providers' documents, each by itself.
"""
