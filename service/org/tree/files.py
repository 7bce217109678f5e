"""The columns of a file of organisations, in Chinese and English, and how an organisation is named in it."""

from service.org.models import JOINT_KINDS, ORGANISATION_LEVELS

COLUMNS = ("code", "name", "level", "parent", "division", "joint", "others")
TITLES = ("组织代码", "组织名称", "层级", "上级组织代码", "行政区划代码", "联建类型", "其他上级代码")
HEADINGS = dict(zip(TITLES, COLUMNS, strict=True)) | {
    "代码": "code",
    "名称": "name",
    "党组织名称": "name",
    "上级代码": "parent",
    "区划代码": "division",
    **{column: column for column in COLUMNS},
    "parent_code": "parent",
    "division_code": "division",
    "other_parent_codes": "others",
}
REQUIRED = ("code", "name", "level", "parent")
LEVELS = dict(zip(("省", "市", "县", "乡镇", "支部"), ORGANISATION_LEVELS, strict=True)) | {
    level: level for level in ORGANISATION_LEVELS
}
JOINTS = dict(zip(("功能型", "议事型", "服务型"), JOINT_KINDS, strict=True)) | {kind: kind for kind in JOINT_KINDS}
# Begins what names an organisation without a code.
NUMBERED = "#"
# Between the codes in one cell.
BETWEEN = ";"


def key_of(code: str | None, number: int) -> str:
    """How a file names an organisation: by its register's code, or by our number while it has none."""
    return code or f"{NUMBERED}{number}"
