"""The roles, and for which purposes each may be granted.

Every bound member has the role `member` through the roster: it reaches the member's own data only and is never granted.
The three offices are held apart: one account has at most one of them, ever.
"""

MEMBER = "member"
OFFICES = ("system_administrator", "security_administrator", "auditor")
# System administrators keep accounts and can grant nothing; security administrators grant and can make nobody.
PURPOSES_OF = {
    "branch_secretary": ("activities", "roster"),
    "organiser": ("activities", "roster", "push"),
    "system_administrator": ("accounts",),
    "security_administrator": ("grants",),
    "auditor": ("audit",),
}
ROLES = tuple(PURPOSES_OF)
PURPOSES = tuple(sorted({purpose for purposes in PURPOSES_OF.values() for purpose in purposes}))


def office_of(role: str) -> str | None:
    """The office that `role` is, None if it is none."""
    return role if role in OFFICES else None
