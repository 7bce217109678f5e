"""Finding what is odd: one device for many members, a burst from one code, a member in two places at once.

Each has harmless explanations: a shared phone, a full hall, a corrected record. So a flag asks a person to look, and
does nothing. Finding again adds nothing; what comes after a flag was resolved raises another one.
"""

from datetime import datetime, timedelta

from sqlalchemy import select, text

from service.activity.models import Sitting
from service.extensions import db
from service.scope import everything

# Phones are shared in a family, and a secretary lends hers: more than so many members of one device are looked at.
MEMBERS_OF_A_DEVICE = 4
# So many people do not pass one wall in the time of one code.
SCANS_OF_A_CODE = 60
# Nobody is in two prefectures, or before the walls of two activities, within the hour, nor before a wall and far away.
APART = timedelta(hours=1)
# What came since is looked at for places; the others are counted whole.
LATELY = timedelta(minutes=10)
# How long after its check-in closed an activity is looked at: as long as most of what comes late.
AFTERWARDS = timedelta(days=1)
MOST = 10_000

DEVICE = """
    SELECT encode(d.mark, 'hex') AS subject, d.check_in_id AS check_in FROM device_marks d
    WHERE d.activity_id = :activity AND d.mark IN (
        SELECT m.mark FROM device_marks m JOIN check_ins c ON c.id = m.check_in_id /* scope: one activity */
        WHERE m.activity_id = :activity AND c.annulled_at IS NULL
        GROUP BY m.mark HAVING count(DISTINCT c.member_id) > :members)
"""
CODE = """
    SELECT c.gate_id || ':' || c.code_slot AS subject, c.id AS check_in FROM check_ins c /* scope: one activity */
    WHERE c.activity_id = :activity AND c.gate_id IS NOT NULL AND (c.gate_id, c.code_slot) IN (
        SELECT gate_id, code_slot FROM check_ins /* scope: one activity */
        WHERE activity_id = :activity AND gate_id IS NOT NULL
        GROUP BY gate_id, code_slot HAVING count(*) > :scans)
"""
# The first two nodes of a place are its province and its prefecture, or its county where there is none.
PLACE = """
    SELECT least(c.id, b.id) || ':' || greatest(c.id, b.id) AS subject, unnest(ARRAY[c.id, b.id]) AS check_in
    FROM check_ins c JOIN check_ins b ON b.member_id = c.member_id AND b.id <> c.id /* scope: one activity's members */
    WHERE c.activity_id = :activity AND c.received_at > :lately AND c.member_id > 0
        AND c.annulled_at IS NULL AND b.annulled_at IS NULL
        AND b.happened_at BETWEEN c.happened_at - :apart AND c.happened_at + :apart
        AND (
            (c.gate_id IS NOT NULL AND b.gate_id IS NOT NULL AND b.activity_id <> c.activity_id)
            OR (c.place_path <> '' AND b.place_path <> ''
                AND (split_part(c.place_path, '.', 1), split_part(c.place_path, '.', 2))
                    <> (split_part(b.place_path, '.', 1), split_part(b.place_path, '.', 2))))
    UNION ALL SELECT CAST(c.id AS text), c.id FROM check_ins c /* scope: one activity */
    WHERE c.activity_id = :activity AND c.gate_id IS NOT NULL AND c.fence = 'far' AND c.annulled_at IS NULL
"""
FRESH = """
    SELECT found.subject, found.check_in FROM ({found}) found WHERE NOT EXISTS (
        SELECT FROM flagged_check_ins l JOIN flags f ON f.id = l.flag_id /* scope: one activity */
        WHERE l.check_in_id = found.check_in AND f.activity_id = :activity AND f.kind = :kind
            AND f.subject = found.subject)
    LIMIT :most
"""
FINDS = {
    kind: text(FRESH.format(found=found)) for kind, found in (("device", DEVICE), ("code", CODE), ("place", PLACE))
}
RAISE = text(
    """
    -- scope: one activity
    INSERT INTO flags (activity_id, kind, subject, raised_at)
    SELECT DISTINCT :activity, :kind, subject, :now FROM unnest(CAST(:subjects AS text[])) AS subject
    ON CONFLICT (activity_id, kind, subject) WHERE resolved_at IS NULL DO NOTHING
    """
)
LINK = text(
    """
    -- scope: one activity
    INSERT INTO flagged_check_ins (flag_id, check_in_id)
    SELECT DISTINCT f.id, found.check_in
    FROM unnest(CAST(:subjects AS text[]), CAST(:check_ins AS bigint[])) AS found (subject, check_in)
    JOIN flags f ON f.activity_id = :activity AND f.kind = :kind AND f.subject = found.subject
        AND f.resolved_at IS NULL
    ON CONFLICT DO NOTHING
    """
)


def find_due(now: datetime) -> int:
    """Look at every activity that takes check-ins, or did lately; how many check-ins were flagged. Commits each."""
    open_now = (Sitting.checkin_opens_at <= now, Sitting.checkin_closes_at > now - AFTERWARDS)
    due = everything("all that takes check-ins", select(Sitting.activity_id).where(*open_now).distinct())
    return sum(find(activity, now) for activity in db.session.scalars(due).all())


def find(activity: int, now: datetime) -> int:
    """Flag what is odd about an activity's check-ins; how many were flagged newly. Commits."""
    limits = {
        "members": MEMBERS_OF_A_DEVICE,
        "scans": SCANS_OF_A_CODE,
        "apart": APART,
        "lately": now - LATELY,
        "most": MOST,
    }
    flagged = 0
    for kind, finds in FINDS.items():
        values = {"activity": activity, "kind": kind, "now": now}
        rows = db.session.execute(finds, {**limits, **values}).all()
        if rows:
            found = {"subjects": [row.subject for row in rows], "check_ins": [row.check_in for row in rows]}
            db.session.execute(RAISE, {**values, **found})
            db.session.execute(LINK, {**values, **found})
            flagged += len(rows)
    db.session.commit()
    return flagged
