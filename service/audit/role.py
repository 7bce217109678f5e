"""A role for the application that owns nothing: what it may do to tables, and what not even it may do to the log.

An installation whose database belongs to it (the embedded one) is guarded by triggers alone, which an owner can take
away; `audit verify` finds what was done then. Where the database is a server's, the processes log in as such a role.
"""

from sqlalchemy import text

from service.extensions import db

FACTS = text(
    """
    SELECT r.rolsuper AS super, coalesce(bool_or(pg_has_role(r.oid, c.relowner, 'MEMBER')), false) AS owns
    FROM pg_roles r, pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE r.rolname = :role AND n.nspname = 'public' AND c.relkind = 'r' GROUP BY r.oid, r.rolsuper
    """
)
# What may leave notes and entries, and when, triggers know; anchors stay for ever.
GRANTS = (
    "REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {role}",
    "REVOKE CREATE ON SCHEMA public FROM PUBLIC, {role}",
    "GRANT USAGE ON SCHEMA public TO {role}",
    "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}",
    "GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {role}",
    "REVOKE UPDATE ON audit_notes, audit_entries FROM {role}",
    "REVOKE UPDATE, DELETE ON audit_anchors FROM {role}",
    "REVOKE INSERT, UPDATE, DELETE ON alembic_version FROM {role}",
)


class RoleError(ValueError):
    """The role cannot be the application's; the message says why."""


def admit(role: str) -> None:
    """Let `role` do what the application does and no more. Commits; to be said by the owner, after each migration."""
    facts = db.session.execute(FACTS, {"role": role}).one_or_none()
    if facts is None:
        raise RoleError(f"no role {role}")
    if facts.super or facts.owns:
        raise RoleError(f"{role} is a superuser or owns the tables: nothing could be kept from it")
    quoted = db.engine.dialect.identifier_preparer.quote(role)
    for grant in GRANTS:
        db.session.execute(text(grant.format(role=quoted)))
    db.session.commit()
