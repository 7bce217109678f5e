"""Errors: one class, one table of stable codes, one shape (RFC 9457) on REST and sockets alike."""

from collections.abc import Callable
from typing import Any

from apiflask import APIFlask
from flask import Response, current_app, json, request
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import HTTPException

# code: (status, Chinese title, English title). `docs/errors.md` lists them; a test compares.
ERRORS: dict[str, tuple[int, str, str]] = {
    "address_full": (429, "此网络的连接过多，请稍后重试", "Too many connections from this network, try again shortly"),
    "already_checked_in": (409, "您已签到", "Already checked in"),
    "bad_request": (400, "请求格式有误", "Malformed request"),
    "body_too_large": (413, "请求内容过大", "Request body too large"),
    "busy": (503, "请求较多，请稍后重试", "Many are asking just now, try again shortly"),
    "callback_refused": (403, "不是来自微信的安全模式消息", "Not from WeChat in secure mode"),
    "certificate_invalid": (422, "活动证无效或已过期", "Certificate invalid or expired"),
    "checkin_annulled": (409, "该签到已被撤销", "This check-in was taken back"),
    "checkin_closed": (409, "签到已结束", "Check-in has closed"),
    "checkin_not_open": (409, "签到尚未开始", "Check-in has not opened yet"),
    "client_invalid": (401, "客户端编号或密钥不正确", "Client or its secret wrong"),
    "client_limit": (409, "接口客户端数量已达上限", "No more API clients are possible"),
    "code_invalid": (401, "登录码无效或已过期，请重新登录", "Login code invalid or expired, log in again"),
    "code_wrong": (403, "验证码不正确", "The code is wrong"),
    "conflict": (409, "与现有数据冲突", "Conflicts with existing data"),
    "database_unavailable": (503, "数据服务暂不可用，请稍后再试", "Database unavailable, try again shortly"),
    "division_in_use": (409, "仍有下级区划，请先变更", "Divisions still lie below it; change those first"),
    "division_level": (409, "该层级的区划不能隶属于此区划", "A division of this level cannot lie below that one"),
    "division_unknown": (422, "没有此行政区划", "No such division"),
    "endpoint_disabled": (409, "该接收地址已停用", "This endpoint is disabled"),
    "endpoint_limit": (409, "接收地址数量已达上限", "No more endpoints are possible"),
    "endpoint_refused": (422, "该地址不能用作接收地址", "This address cannot receive webhooks"),
    "endpoint_sealed": (
        409,
        "无法读取该接收地址的密钥，请重新登记",
        "This endpoint's secret cannot be read, register it again",
    ),
    "errand_limit": (409, "待处理的导入导出过多", "Too many imports and exports wait to be done"),
    "event_unknown": (404, "未知事件", "Unknown event"),
    "forbidden": (403, "无权进行此操作", "Not permitted"),
    "gate_code_elsewhere": (409, "此二维码属于其他活动或场次", "This code belongs to another activity or sitting"),
    "gate_code_expired": (409, "二维码已过期，请重新扫描", "The code has expired, scan the one that is shown now"),
    "gate_code_replayed": (
        409,
        "此二维码您已使用过，请重新扫描",
        "You have used this code before, scan the one that is shown now",
    ),
    "gate_code_unknown": (403, "二维码无效", "The code is not valid"),
    "gate_limit": (409, "签到设备数量已达上限", "No more gates are possible"),
    "gate_unpaired": (403, "此设备未配对，或已被撤销", "This device is not paired, or not any more"),
    "gateway_busy": (503, "当前加入的人较多，请稍后重试", "Many are joining just now, try again shortly"),
    "gateway_full": (503, "连接数已满，请稍后重试", "No more connections here, try again shortly"),
    "gateway_memory": (503, "服务器内存不足，请稍后重试", "No more memory here, try again shortly"),
    "grant_unsupported": (400, "仅支持 client_credentials", "Only client_credentials is served"),
    "group_session_closed": (409, "该集中收看已结束", "This collective viewing has been closed"),
    "headers_too_large": (431, "请求头过大", "Request headers too large"),
    "internal": (500, "服务内部错误", "Internal error"),
    "invitation_invalid": (403, "邀请码无效、已使用或已过期", "Invitation invalid, used or expired"),
    "leave_decided": (409, "请假已有结论", "The leave has been decided"),
    "login_failed": (401, "账号或密码不正确", "Login or password wrong"),
    "login_locked": (429, "失败次数过多，请稍后再试", "Too many failures, try again later"),
    "lookup_context": (422, "请同时给出上级区划或层级", "A name needs a parent or a level beside it"),
    "made_up": (409, "该党员已到场或已补学", "The member was present, or has made up for it"),
    "makeup_annulled": (409, "该补学记录已被撤销", "This make-up was taken back"),
    "makeup_closed": (409, "补学期限已过", "Too late to make up for it"),
    "makeup_in_future": (422, "补学时间不能晚于现在", "A make-up cannot lie in the future"),
    "makeup_unfounded": (422, "没有可依据的他处签到", "No such check-in elsewhere"),
    "member_replaced": (409, "您已在其他设备上打开，此处连接已断开", "Opened on too many other devices; closed here"),
    "member_unknown": (404, "未找到该党员", "No such member"),
    "method_not_allowed": (405, "不支持的请求方法", "Method not allowed"),
    "name_differs": (409, "姓名与名册不符", "The name is not the one on the roster"),
    "not_bound": (403, "尚未绑定，请输入邀请码", "Not bound to the roster yet, an invitation code is needed"),
    "not_found": (404, "未找到", "Not found"),
    "not_invited": (403, "您不在本次活动的邀请范围内", "This activity does not include your organisation"),
    "not_on_roster": (403, "您不在本次活动的应到名册中", "You are not on this activity's roster"),
    "not_ready": (503, "尚未就绪", "Not ready"),
    "not_rostered": (409, "此活动不设应到名册", "Nobody is expected at this activity"),
    "not_started": (409, "活动尚未开始", "The activity has not started yet"),
    "number_taken": (409, "该号码已属于另一名党员", "Another member has this number"),
    "office_held": (
        409,
        "该账号已担任系统管理员、安全管理员、审计员之一",
        "This account holds another administrator's office",
    ),
    "organisation_circle": (409, "不能隶属于自身或其下级组织", "Cannot lie below itself"),
    "organisation_closed": (409, "该组织在此期间不存在", "No such organisation on these days"),
    "organisation_in_use": (409, "仍有下级组织或党员，请先转移", "Something still belongs to it; move that first"),
    "organisation_level": (409, "该层级不能隶属于此组织", "This level cannot lie below that organisation"),
    "origin_refused": (403, "不接受来自此页面的连接", "Connections from this page are not accepted"),
    "pairing_invalid": (403, "配对码无效、已使用或已过期", "Pairing code invalid, used or expired"),
    "parent_unknown": (422, "没有此上级", "No such parent"),
    "phone_unknown": (
        403,
        "此手机号不在名册中，或已绑定其他微信",
        "This phone is not on the roster, or bound to another WeChat user",
    ),
    "proxy_cap": (409, "代签人数已达上限", "No more proxies may be entered by one person"),
    "reason_missing": (422, "代签须说明原因", "A proxy needs a reason"),
    "provider_refused": (
        401,
        "统一身份认证的登录未被接受，请重试或改用密码",
        "The log-in at your identity provider was not accepted; try again, or use your password",
    ),
    "provider_unavailable": (
        503,
        "统一身份认证暂不可用，请稍后再试",
        "Your identity provider is unavailable, try again shortly",
    ),
    "recovery_invalid": (403, "恢复码无效、已使用或已过期", "Recovery code invalid, used or expired"),
    "reference_missing": (422, "缺少客户端请求编号", "Client reference missing"),
    "reference_reused": (409, "此编号已用于另一次签到", "This reference was used for another check-in"),
    "refresh_invalid": (401, "登录已失效，请重新登录", "Refresh token invalid, log in again"),
    "refresh_reused": (
        401,
        "登录凭证被重复使用，已全部退出",
        "Refresh token used twice; the session was closed",
    ),
    "risk_refused": (403, "微信拒绝了此账号的登录", "WeChat refuses this account"),
    "roster_frozen": (409, "名册已确定，不能再更改", "The roster is frozen"),
    "roster_open": (409, "名册尚未确定", "The roster has not been frozen yet"),
    "scope_invalid": (400, "超出客户端的权限范围", "More than the client's scopes"),
    "second_factor_missing": (403, "请先设置第二验证因素", "Set up a second factor first"),
    "second_factor_needed": (401, "请输入验证器中的验证码", "The code of your authenticator is needed"),
    "second_person": (409, "须由另一人确认", "Somebody else has to confirm this"),
    "sheet_columns": (422, "表格的列有误", "The columns of the table are not the expected ones"),
    "sheet_too_large": (413, "表格过大", "The table is too large"),
    "sheet_unreadable": (422, "无法读取该表格", "The table cannot be read"),
    "stream_closed": (409, "直播已结束", "The stream has ended"),
    "stream_not_open": (409, "直播尚未开始", "The stream has not opened yet"),
    "stream_unknown": (404, "未找到该直播", "No such stream"),
    "token_denied": (401, "登录已被撤销，请重新登录", "Login revoked, log in again"),
    "token_expired": (401, "登录已过期", "Token expired"),
    "token_invalid": (401, "登录凭证无效", "Token invalid"),
    "token_missing": (401, "请先登录", "Log in first"),
    "too_many_requests": (429, "请求过于频繁，请稍后再试", "Too many requests, try again later"),
    "transport_unsupported": (400, "仅支持 Engine.IO 4 的 WebSocket 传输", "Only Engine.IO 4 over WebSocket is served"),
    "undo_closed": (409, "撤销时间已过，请联系支部", "Too late to undo it; ask the branch"),
    "unsupported_media_type": (415, "请使用 application/json", "Use application/json"),
    "upgrade_required": (426, "此地址仅提供 WebSocket 连接", "This address speaks WebSocket only"),
    "validation": (422, "提交的内容有误", "The content is not valid"),
    "websocket_invalid": (400, "WebSocket 握手有误", "Malformed WebSocket handshake"),
    "websocket_version": (426, "仅支持 WebSocket 第 13 版", "Only WebSocket version 13 is served"),
    "wechat_unavailable": (503, "微信服务暂不可用，请稍后再试", "WeChat is unavailable, try again shortly"),
}

HTTP_CODES = {
    400: "bad_request", 401: "token_missing", 403: "forbidden", 404: "not_found", 405: "method_not_allowed",
    409: "conflict", 413: "body_too_large", 415: "unsupported_media_type", 422: "validation",
    429: "too_many_requests", 503: "database_unavailable",
}  # fmt: skip


# Where `service.deadline` leaves its answer in a request's environment.
PASSED = "chunshui.deadline_passed"


class ServiceError(Exception):
    """A refusal with a stable `code` of `ERRORS`; `details` become members of the problem document."""

    def __init__(self, code: str, **details: Any) -> None:
        super().__init__(code)
        self.code = code
        self.status = ERRORS[code][0]
        self.details = details


def problem(error: ServiceError, language: str) -> dict[str, Any]:
    """The RFC 9457 document of `error`; `language` is zh or en."""
    status, chinese, english = ERRORS[error.code]
    title = english if language == "en" else chinese
    kind = f"urn:chunshui:problem:{error.code}"
    return {"type": kind, "title": title, "status": status, "code": error.code, **error.details}


def deadline_passed() -> bool:
    """Whether this request's time is over; the driver's own clean-up may then hide that behind another error."""
    passed: Callable[[], bool] = request.environ.get(PASSED, bool)
    return passed()


def language_of_request() -> str:
    """zh or en: what the request's Accept-Language asks for, else the setting."""
    wanted = request.accept_languages.best_match(["zh", "zh-CN", "en"]) if request.accept_languages else None
    return wanted[:2] if wanted else str(current_app.config["CHUNSHUI"].default_language)


def respond(error: ServiceError) -> Response:
    """`error` as the HTTP answer to the current request."""
    body = json.dumps(problem(error, language_of_request()), ensure_ascii=False)
    response = Response(body, status=error.status, content_type="application/problem+json; charset=utf-8")
    if error.status in (429, 503):
        response.headers["Retry-After"] = str(error.details.get("retry_after", 2))
    return response


def from_http(error: HTTPException) -> ServiceError:
    """The ServiceError that stands for a plain HTTP error."""
    details = {}
    fields = getattr(error, "detail", None)
    if fields:
        details["errors"] = fields
    return ServiceError(HTTP_CODES.get(error.code or 500, "internal"), **details)


def init_app(app: APIFlask) -> None:
    """Give every error of `app` the one shape."""

    @app.errorhandler(ServiceError)
    def refused(error: ServiceError) -> Response:
        return respond(error)

    @app.error_processor
    def validation(error: Any) -> Any:
        response = respond(_from_validation(error))
        return response.get_data(), response.status_code, dict(response.headers)

    @app.errorhandler(HTTPException)
    def plain(error: HTTPException) -> Response:
        if error.code is not None and error.code < 400:
            return Response(status=error.code, headers=list(error.get_headers()))
        return respond(from_http(error))

    @app.errorhandler(OperationalError)
    @app.errorhandler(PoolTimeout)
    def database_gone(error: Exception) -> Response:
        app.logger.warning("database unavailable: %s", type(error).__name__)
        return respond(ServiceError("database_unavailable", retry_after=2))

    @app.errorhandler(Exception)
    def unexpected(error: Exception) -> Response:
        if isinstance(error, DBAPIError) and (error.connection_invalidated or deadline_passed()):
            return database_gone(error)
        app.logger.exception("unexpected error")
        return respond(ServiceError("internal"))


# marshmallow's words for a member that is absent or null.
MISSING = (["Missing data for required field."], ["Field may not be null."])


def _from_validation(error: Any) -> ServiceError:
    code = HTTP_CODES.get(error.status_code, "internal")
    fields = error.detail.get("json") or error.detail.get("query") or error.detail
    if code == "validation" and isinstance(fields, dict) and fields.get("reference") in MISSING:
        code = "reference_missing"
    return ServiceError(code, errors=fields) if fields else ServiceError(code)
