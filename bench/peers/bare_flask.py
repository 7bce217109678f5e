"""The least that Flask can do for a check-in: read a small JSON body, answer another, and remember nothing."""

from flask import Flask, request
from werkzeug.wrappers import Response

app = Flask(__name__)


@app.post("/api/v1/activities/<int:activity>/check-ins")
def check_in(activity: int) -> tuple[dict[str, object], int] | Response:
    body = request.get_json()
    return {"activity": activity, "reference": body["reference"]}, 201
