"""What is said of rows, in Chinese and English."""

from service.errors import ERRORS

# The first is Chinese.
FATES = {
    "entered": ("已录入", "entered"),
    "same": ("已录入过", "entered before"),
    "there": ("已另行签到", "checked in otherwise"),
    "unsigned": ("未签名", "not signed"),
    "refused": ("拒绝", "refused"),
}
REASONS = {
    "member_missing": ("缺党员编号", "no member number"),
    "member_invalid": (
        "党员编号有误；不接受身份证号或手机号",
        "not a member number; no identity or phone number is taken",
    ),
    "name_missing": ("缺姓名", "no name"),
    "repeated": ("与前面的行重复", "repeats an earlier row"),
    "time_invalid": ("签到时间无法识别", "not a time"),
    "time_outside": ("签到时间不在签到时段内", "outside of the time of check-in"),
    "already_checked_in": ("已签到", "checked in already"),
    "not_invited": ("不在邀请范围内", "not invited"),
    "not_on_roster": ("不在应到名册中", "not on the roster"),
}


def explained(reason: str, language: str) -> str:
    """Why a row was refused; `language` is zh or en."""
    chinese, english = REASONS[reason] if reason in REASONS else ERRORS[reason][1:]
    return english if language == "en" else chinese
