"""What WeChat calls back with: taken at once, kept once, and told to those rooms that listen, by the worker."""
