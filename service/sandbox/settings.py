"""The settings of an installation that talks to the stand-ins instead of the world."""

from service.sandbox import apns, events, jpush
from service.sandbox.wechat import APPID, SECRET


def settings(*, port: int, apns_port: int) -> dict[str, str]:
    """By the variables' names, for stand-ins of this machine. FCM is asked for its account (`GET /sandbox/account`)."""
    url = f"http://127.0.0.1:{port}"
    return {
        "WECHAT_API_URL": url,
        "WECHAT_APPID": APPID,
        "WECHAT_SECRET": SECRET,
        "WECHAT_CALLBACK_TOKEN": events.TOKEN,
        "WECHAT_CALLBACK_KEY": events.ENCODING_KEY,
        "APNS_URL": f"http://127.0.0.1:{apns_port}",
        "APNS_KEY": apns.private_key(),
        "APNS_KEY_ID": apns.KEY_ID,
        "APNS_TEAM": apns.TEAM,
        "APNS_TOPIC": apns.TOPIC,
        "FCM_URL": url,
        "JPUSH_URL": url,
        "JPUSH_APP_KEY": jpush.APP_KEY,
        "JPUSH_MASTER_SECRET": jpush.MASTER_SECRET,
        "JPUSH_APNS_PRODUCTION": "false",
    }
