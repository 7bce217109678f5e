"""What every column holds and why: four labels, and for each table purpose, legal basis and retention.

A model says it where it is declared, with `holds`; a column without a label fails a test, and so does a register
(docs/processing-register.md) that does not say the same.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeVar

from sqlalchemy import Column, Table

# In rising order: an export of several columns is as confidential as the most confidential of them.
LABELS = {
    "public": ("公开", "may be shown to anybody"),
    "internal": ("内部", "about no person; for those who work with it"),
    "personal": ("个人信息", "leads to a person, or is about one"),
    "sensitive": ("敏感", "membership, attendance and whereabouts of a person, and secrets"),
}
BASES = {
    "none": ("不含个人信息", "no personal data"),
    "duty": ("履行法定职责或法定义务", "statutory duty"),
    "security": ("网络安全法定义务", "statutory duty, of network security"),
    "consent": ("个人同意", "consent"),
}


class Purpose(NamedTuple):
    """What data are for, and the basis that is taken unless an installation has recorded another one."""

    chinese: str
    english: str
    basis: str


PURPOSES = {
    "reference": Purpose("行政区划等公开资料", "public reference data", "none"),
    "organising": Purpose("组织活动", "holding activities", "none"),
    "operating": Purpose("系统运行", "running the service", "none"),
    "membership": Purpose("党员名册与身份绑定", "the roster, and who on it is asking", "duty"),
    "attendance": Purpose("活动参加与签到", "attendance of activities", "duty"),
    "access": Purpose("登录与权限", "log-in and permissions", "security"),
    "audit": Purpose("审计", "accounting for what was done", "security"),
    "notices": Purpose("向外部系统通知", "telling other systems what happened", "duty"),
    "reminders": Purpose("活动提醒", "reminders of activities", "consent"),
    "rights": Purpose("同意与法律依据记录", "records of consents and legal bases", "duty"),
}
KEEPS = {
    "ever": ("长期", "as long as the service"),
    "named": (
        "活动结束后 NAMED_DAYS 天内记名，此后假名化",
        "named for NAMED_DAYS after the activity, then without names",
    ),
    "erased": (
        "至本人删除、离开 NAMED_DAYS 天后，或失效 NAMED_DAYS 天后",
        "until the person is erased or left NAMED_DAYS ago, or it ended NAMED_DAYS ago",
    ),
    "session": ("至过期或撤销", "until it expires or is revoked"),
    "day": ("一天", "a day"),
    "account": ("至账号停用", "as long as the account"),
    "audit": ("AUDIT_RETENTION_DAYS 天", "AUDIT_RETENTION_DAYS"),
    "errand": (
        "上传内容至导入、撤回或一天后；结果 7 天",
        "what was sent until it is applied, called off or a day old; results 7 days",
    ),
    "delivered": ("送达或放弃后 7 天", "7 days after it was delivered or given up"),
    "told": ("通知失效后 90 天", "90 days after the notice expired"),
    "seconds": ("数秒", "seconds"),
    "week": ("7 天", "7 days"),
    "roster": ("名册确定后，至多 3 天", "until rosters are frozen, 3 days at most"),
}

Model = TypeVar("Model")


def holds(*, purpose: str, keeps: str, **names: str) -> Callable[[type[Model]], type[Model]]:
    """Declare a model's purpose and retention, and its columns by label: `internal="id state"`, …

    KeyError, at import, for a purpose, retention, label or column that does not exist.
    """

    def declare(model: type[Model]) -> type[Model]:
        table: Table = model.__table__  # type: ignore[attr-defined]
        table.info.update(purpose=purpose, basis=PURPOSES[purpose].basis, keeps=keeps, kept=KEEPS[keeps])
        for label, columns in names.items():
            for name in columns.split():
                table.columns[name].info.update(label=label, meaning=LABELS[label])
        return model

    return declare


def label_of(column: Column[object]) -> str | None:
    """The label of a column; None if it has none."""
    label: str | None = column.info.get("label")
    return label


def highest(columns: Iterable[Column[object]]) -> str:
    """The label of an export of these columns; one without a label is taken for sensitive."""
    order = list(LABELS)
    return max((label_of(column) or order[-1] for column in columns), key=order.index, default=order[0])
