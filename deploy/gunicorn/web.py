"""gunicorn's settings for the web process; `chunshui web` uses this very file."""

from service.config import Config

settings = Config.from_env()

bind = f"{settings.web_host}:{settings.web_port}"
worker_class = "gevent"
workers = settings.web_workers
worker_connections = 2000
graceful_timeout = 10
timeout = 30
keepalive = 15
# More than one web process may run on a machine; gunicorn's control socket has one fixed place.
control_socket_disable = True
wsgi_app = "wsgi:app"
accesslog = None
proc_name = "chunshui-web"
limit_request_line = 4094
limit_request_fields = 64


def post_fork(server: object, worker: object) -> None:
    """Logs of our form; psycopg is imported by the application, after gevent has patched the process."""
    from service.logs import configure

    configure(settings.log_level, "web")
