"""The web process's application, for gunicorn: `gunicorn -c deploy/gunicorn/web.py wsgi:app`."""

from service.app import create_app

app = create_app()
