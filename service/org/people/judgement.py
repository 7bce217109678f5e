"""How a whole roster is judged and written: SQL over temporary tables, a handful of statements for any number of rows.

The part of the tree that may be touched is a setting of the transaction: CREATE TABLE AS takes no parameters.
"""

STAGED = "row int PRIMARY KEY, name text, organisation text, place_code text, status text, category text"
# `current` is the index under the key that seals now; the others only find.
NUMBERS = "row int, kind text, blind_index bytea, current boolean, tail text"
SEALED = "member_id bigint, kind text, key_id text, ciphertext bytea, blind_index bytea, tail text"

# For a caller whose transaction has judged a roster before.
CLEAR = "DROP TABLE IF EXISTS staged, staged_numbers, branches, found, repeated, judged, sealed"
SCOPE = "SELECT set_config('chunshui.scope', :scope, true), set_config('chunshui.end', :end, true)"
BRANCHES = """
CREATE TEMPORARY TABLE branches ON COMMIT DROP AS
WITH told AS (SELECT DISTINCT organisation FROM staged), candidates AS (
    SELECT t.organisation, o.id FROM told t JOIN organisations o
    ON o.id = CASE WHEN t.organisation ~ '^[0-9]{1,18}$' THEN CAST(t.organisation AS bigint) END
    WHERE o.path >= current_setting('chunshui.scope') AND o.path < current_setting('chunshui.end')
    UNION
    SELECT t.organisation, o.id FROM told t JOIN organisations o ON o.name = t.organisation
    WHERE o.path >= current_setting('chunshui.scope') AND o.path < current_setting('chunshui.end')
)
SELECT organisation, min(id) AS id, count(*) AS candidates FROM candidates GROUP BY organisation
"""
FOUND = """
-- scope: who has a number of the file
CREATE TEMPORARY TABLE found ON COMMIT DROP AS
SELECT s.row, min(n.member_id) FILTER (WHERE s.kind = 'identity') AS by_identity,
    min(n.member_id) FILTER (WHERE s.kind = 'phone') AS by_phone
FROM staged_numbers s JOIN sealed_numbers n ON n.kind = s.kind AND n.blind_index = s.blind_index
GROUP BY s.row
"""
# A number, or a member, that an earlier row of the file has already.
REPEATED = """
CREATE TEMPORARY TABLE repeated ON COMMIT DROP AS
SELECT DISTINCT row FROM (
    SELECT row, min(row) OVER (PARTITION BY kind, blind_index) AS first FROM staged_numbers WHERE current
    UNION ALL
    SELECT row, min(row) OVER (PARTITION BY coalesce(by_identity, by_phone)) FROM found
) AS seen WHERE row > first
"""
# The CASE gives the first reason; `new_…` says what of an existing member would change.
JUDGED = """
-- scope: chunshui.scope, the part of the tree that may be touched; of others only that they are elsewhere
CREATE TEMPORARY TABLE judged ON COMMIT DROP AS
SELECT s.row, m.id AS member_id, b.id AS organisation_id,
    CASE
        WHEN r.row IS NOT NULL THEN 'repeated'
        WHEN b.id IS NULL THEN 'organisation_unknown'
        WHEN b.candidates > 1 THEN 'organisation_ambiguous'
        WHEN s.place_code IS NOT NULL AND d.code IS NULL THEN 'place_unknown'
        WHEN f.by_identity <> f.by_phone THEN 'numbers_of_two_members'
        WHEN m.rehearsal
            OR home.path < current_setting('chunshui.scope') OR home.path >= current_setting('chunshui.end')
            THEN 'member_elsewhere'
        WHEN f.by_identity IS NULL AND i.member_id IS NOT NULL AND si.row IS NOT NULL THEN 'identity_differs'
    END AS reason,
    m.name IS DISTINCT FROM s.name AS new_name,
    m.organisation_id IS DISTINCT FROM b.id AS new_organisation,
    s.place_code IS NOT NULL AND m.place_code IS DISTINCT FROM s.place_code AS new_place,
    s.status IS NOT NULL AND m.status IS DISTINCT FROM s.status AS new_status,
    s.category IS NOT NULL AND m.category IS DISTINCT FROM s.category AS new_category,
    sp.row IS NOT NULL AND f.by_phone IS NULL AS new_phone,
    si.row IS NOT NULL AND f.by_identity IS NULL AS new_identity,
    m.name AS old_name, CAST(m.organisation_id AS text) AS old_organisation, m.place_code AS old_place,
    m.status AS old_status, m.category AS old_category, p.tail AS old_phone, i.tail AS old_identity
FROM staged s
LEFT JOIN branches b ON b.organisation = s.organisation
LEFT JOIN divisions d ON d.code = s.place_code
LEFT JOIN found f ON f.row = s.row
LEFT JOIN repeated r ON r.row = s.row
LEFT JOIN staged_numbers sp ON sp.row = s.row AND sp.kind = 'phone' AND sp.current
LEFT JOIN staged_numbers si ON si.row = s.row AND si.kind = 'identity' AND si.current
LEFT JOIN members m ON m.id = coalesce(f.by_identity, f.by_phone)
LEFT JOIN organisations home ON home.id = m.organisation_id
LEFT JOIN sealed_numbers p ON p.member_id = m.id AND p.kind = 'phone'
LEFT JOIN sealed_numbers i ON i.member_id = m.id AND i.kind = 'identity'
"""
JUDGE = (BRANCHES, "ANALYZE branches", FOUND, "ANALYZE found", REPEATED, "ANALYZE repeated", JUDGED)
FATES = "SELECT * FROM judged ORDER BY row"

NUMBER = """
UPDATE judged SET member_id = nextval('members_id_seq') WHERE reason IS NULL AND member_id IS NULL
RETURNING row, member_id
"""
ADD = """
INSERT INTO members (id, name, organisation_id, place_code, status, category)
SELECT j.member_id, s.name, j.organisation_id, s.place_code, coalesce(s.status, 'active'), s.category
FROM judged j JOIN staged s ON s.row = j.row WHERE j.reason IS NULL AND j.old_name IS NULL
"""
CHANGE = """
-- scope: who was judged to be within chunshui.scope
UPDATE members m SET name = s.name, organisation_id = j.organisation_id,
    place_code = coalesce(s.place_code, m.place_code), status = coalesce(s.status, m.status),
    category = coalesce(s.category, m.category)
FROM judged j JOIN staged s ON s.row = j.row
WHERE m.id = j.member_id AND j.reason IS NULL AND j.old_name IS NOT NULL
    AND (j.new_name OR j.new_organisation OR j.new_place OR j.new_status OR j.new_category)
"""
# A table says how members stand from the day on which it is enrolled.
STAND = """
-- scope: who was judged to be within chunshui.scope
INSERT INTO member_standings (member_id, kind, since, value, former, entered_at)
SELECT j.member_id, told.kind, :today, told.value, told.former, :now
FROM judged j JOIN staged s ON s.row = j.row CROSS JOIN LATERAL (VALUES
    ('status', s.status, coalesce(j.old_status, 'active'), j.new_status),
    ('category', s.category, j.old_category, j.new_category)
) AS told (kind, value, former, changed)
WHERE j.reason IS NULL AND told.changed AND (j.old_name IS NOT NULL OR told.value = 'left')
ON CONFLICT (member_id, kind, since) DO UPDATE SET value = excluded.value, entered_at = excluded.entered_at
"""
STORE = """
INSERT INTO sealed_numbers (member_id, kind, key_id, ciphertext, blind_index, tail)
SELECT member_id, kind, key_id, ciphertext, blind_index, tail FROM sealed
ON CONFLICT (member_id, kind) DO UPDATE SET key_id = excluded.key_id, ciphertext = excluded.ciphertext,
    blind_index = excluded.blind_index, tail = excluded.tail
"""
