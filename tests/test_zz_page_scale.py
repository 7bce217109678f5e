import time
from sqlalchemy import text
from service.checkin.roll import calling
from service.checkin.attendance import roster
from tests.factories import make_activity, make_organisation
from tests.checkin.people import NOW
from service.org.tree.paths import adopt_all
def test_scale(db):
    city = make_organisation(level="city")
    db.execute(text("INSERT INTO organisations (parent_id, path, name, level) SELECT :c, :p || '.' || currval('organisations_id_seq')::text, 'b', 'branch' FROM generate_series(1,1)"), {"c":city.id,"p":city.path}) if False else None
    db.execute(text("""WITH n AS (SELECT nextval(pg_get_serial_sequence('organisations','id')) id FROM generate_series(1,2500))
      INSERT INTO organisations (id, parent_id, path, name, level) OVERRIDING SYSTEM VALUE SELECT id, :c, :p||'.'||id, 'b'||id, 'branch' FROM n"""),{"c":city.id,"p":city.path})
    adopt_all()
    db.execute(text("""INSERT INTO members (name, organisation_id) SELECT 'm', o.id FROM organisations o, generate_series(1,40) WHERE o.parent_id=:c"""),{"c":city.id})
    db.commit()
    day = make_activity(lead=city, invited=[city], now=NOW)
    node = db.execute(text("SELECT id, path FROM organisations WHERE parent_id=:c ORDER BY id OFFSET 1200 LIMIT 1"),{"c":city.id}).one()
    t=time.time(); p=calling.call(day, node.path, NOW, today=node.path); print("open cold", len(p.lines), time.time()-t)
    roster.freeze(day.id, NOW)
    db.execute(text("""INSERT INTO check_ins (activity_id, sitting_id, member_id, method, reference, happened_at, received_at, organisation_path, place_path)
       SELECT :a, :s, m.id, 'self', 'r'||m.id, :n, :n, o.path, '' FROM members m JOIN organisations o ON o.id=m.organisation_id WHERE o.parent_id=:c AND m.id % 3 > 0"""),{"a":day.id,"s":day.sittings[0].id,"n":NOW,"c":city.id}); db.commit()
    for i in range(3):
        t=time.time(); p=calling.call(day, node.path, NOW, today=node.path); print("branch", len(p.lines), time.time()-t)
    t=time.time(); p=calling.call(day, city.path, NOW, today=city.path); print("city", len(p.lines), time.time()-t)
    db.execute(text("ANALYZE"))
    t=time.time(); p=calling.call(day, node.path, NOW, today=node.path); print("branch analyzed", len(p.lines), time.time()-t)
    t=time.time(); p=calling.call(day, city.path, NOW, today=city.path); print("city analyzed", len(p.lines), time.time()-t)
