"""`python -m service.sandbox`, which starts quicker than `chunshui sandbox` and takes the same options."""

import argparse

from service.sandbox.command import main

parser = argparse.ArgumentParser(description="Stand-ins for WeChat, APNs, FCM and JPush.")
parser.add_argument("--host", default="127.0.0.1")
parser.add_argument("--port", type=int, required=True)
parser.add_argument("--apns-port", type=int)
parser.add_argument("--callback-url", default="")
parser.add_argument("--latency", type=float, default=0.0, help="seconds that WeChat takes for a message")
main(**vars(parser.parse_args()))
