"""Every table of the first version, as the models had them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "divisions",
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("level", sa.Text(), nullable=False),
        sa.Column("parent_code", sa.Text(), nullable=True),
        sa.Column("path", sa.Text(collation="C"), nullable=False),
        sa.Column("valid_from", sa.Date(), nullable=True),
        sa.Column("valid_to", sa.Date(), nullable=True),
        sa.Column("successor_code", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "level IN ('province', 'prefecture', 'county', 'township')", name=op.f("ck_divisions_level")
        ),
        sa.ForeignKeyConstraint(["parent_code"], ["divisions.code"], name=op.f("fk_divisions_parent_code")),
        sa.ForeignKeyConstraint(["successor_code"], ["divisions.code"], name=op.f("fk_divisions_successor_code")),
        sa.PrimaryKeyConstraint("code", name=op.f("pk_divisions")),
        sa.UniqueConstraint("path", name=op.f("uq_divisions_path")),
    )
    op.create_index(op.f("ix_divisions_name"), "divisions", ["name"], unique=False)
    op.create_index(op.f("ix_divisions_parent_code"), "divisions", ["parent_code"], unique=False)
    op.create_table(
        "endpoints",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("organisation_id", sa.BigInteger(), nullable=False),
        sa.Column("organisation_path", sa.Text(collation="C"), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("secret_ciphertext", sa.LargeBinary(), nullable=False),
        sa.Column("subject_key_ciphertext", sa.LargeBinary(), nullable=False),
        sa.Column("topics", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("enabled", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("disabled_reason", sa.Text(), nullable=True),
        sa.Column("created_by", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_endpoints")),
    )
    op.create_index(op.f("ix_endpoints_organisation_path"), "endpoints", ["organisation_path"], unique=False)
    op.create_table(
        "gateways",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("heard_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gateways")),
    )
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("organisation_paths", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("subject_member", sa.BigInteger(), nullable=True),
        sa.Column("payload", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("fanned_out_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
    )
    op.create_index(
        "ix_outbox_waiting", "outbox", ["id"], unique=False, postgresql_where=sa.text("fanned_out_at IS NULL")
    )
    op.create_table(
        "series",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_series")),
        sa.UniqueConstraint("name", name=op.f("uq_series_name")),
    )
    op.create_table(
        "stays",
        sa.Column("connection", sa.Uuid(), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("stream_id", sa.BigInteger(), nullable=False),
        sa.Column("member_id", sa.BigInteger(), nullable=False),
        sa.Column("gateway_id", sa.Uuid(), nullable=False),
        sa.Column("organisation_path", sa.Text(collation="C"), nullable=False),
        sa.Column("place_path", sa.Text(collation="C"), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("joined_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("left_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("closed_by", sa.Text(), nullable=True),
        sa.CheckConstraint("closed_by IN ('owner', 'reaper')", name=op.f("ck_stays_closed_by")),
        sa.CheckConstraint("(left_at IS NULL) = (closed_by IS NULL)", name=op.f("ck_stays_closed")),
        sa.CheckConstraint("left_at >= joined_at", name=op.f("ck_stays_order")),
        sa.PrimaryKeyConstraint("connection", "sequence", name=op.f("pk_stays")),
    )
    op.create_index("ix_stays_open", "stays", ["gateway_id"], unique=False, postgresql_where="left_at IS NULL")
    op.create_index("ix_stays_stream_id_member_id", "stays", ["stream_id", "member_id"], unique=False)
    op.create_table(
        "activities",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("theme", sa.Text(), nullable=False),
        sa.Column("series_id", sa.BigInteger(), nullable=True),
        sa.Column("edition", sa.Text(), nullable=True),
        sa.Column("attendance", sa.Text(), server_default="open", nullable=False),
        sa.Column("rehearsal", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("timezone", sa.Text(), server_default="Asia/Shanghai", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("attendance IN ('open', 'rostered')", name=op.f("ck_activities_attendance")),
        sa.CheckConstraint(
            "kind IN ('themed_day', 'dialogue', 'joint_class', 'training', 'seminar', 'meeting')",
            name=op.f("ck_activities_kind"),
        ),
        sa.CheckConstraint("(series_id IS NULL) = (edition IS NULL)", name=op.f("ck_activities_edition")),
        sa.ForeignKeyConstraint(["series_id"], ["series.id"], name=op.f("fk_activities_series_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_activities")),
        sa.UniqueConstraint("series_id", "edition", name=op.f("uq_activities_series_id_edition")),
    )
    op.create_table(
        "county_borders",
        sa.Column("county_code", sa.Text(), nullable=False),
        sa.Column("neighbour_code", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["county_code"], ["divisions.code"], name=op.f("fk_county_borders_county_code")),
        sa.ForeignKeyConstraint(["neighbour_code"], ["divisions.code"], name=op.f("fk_county_borders_neighbour_code")),
        sa.PrimaryKeyConstraint("county_code", "neighbour_code", name=op.f("pk_county_borders")),
    )
    op.create_index(op.f("ix_county_borders_neighbour_code"), "county_borders", ["neighbour_code"], unique=False)
    op.create_table(
        "deliveries",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("outbox_id", sa.BigInteger(), nullable=False),
        sa.Column("endpoint_id", sa.BigInteger(), nullable=False),
        sa.Column("message_id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("state", sa.Text(), server_default="pending", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("give_up_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_status", sa.Integer(), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("delivered_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("state IN ('pending', 'delivered', 'dead')", name=op.f("ck_deliveries_state")),
        sa.ForeignKeyConstraint(
            ["endpoint_id"], ["endpoints.id"], name=op.f("fk_deliveries_endpoint_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["outbox_id"], ["outbox.id"], name=op.f("fk_deliveries_outbox_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deliveries")),
        sa.UniqueConstraint("outbox_id", "endpoint_id", name=op.f("uq_deliveries_outbox_id_endpoint_id")),
    )
    op.create_index(
        "ix_deliveries_due",
        "deliveries",
        ["endpoint_id", "due_at", "id"],
        unique=False,
        postgresql_where=sa.text("state = 'pending'"),
    )
    op.create_index("ix_deliveries_history", "deliveries", ["endpoint_id", "id"], unique=False)
    op.create_table(
        "division_aliases",
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("alias", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["code"], ["divisions.code"], name=op.f("fk_division_aliases_code")),
        sa.PrimaryKeyConstraint("code", "alias", name=op.f("pk_division_aliases")),
    )
    op.create_index(op.f("ix_division_aliases_alias"), "division_aliases", ["alias"], unique=False)
    op.create_table(
        "organisations",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("parent_id", sa.BigInteger(), nullable=True),
        sa.Column("path", sa.Text(collation="C"), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("level", sa.Text(), nullable=False),
        sa.Column("division_code", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "level IN ('province', 'city', 'county', 'township', 'branch')", name=op.f("ck_organisations_level")
        ),
        sa.ForeignKeyConstraint(["division_code"], ["divisions.code"], name=op.f("fk_organisations_division_code")),
        sa.ForeignKeyConstraint(["parent_id"], ["organisations.id"], name=op.f("fk_organisations_parent_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_organisations")),
        sa.UniqueConstraint("path", name=op.f("uq_organisations_path")),
    )
    op.create_index(op.f("ix_organisations_parent_id"), "organisations", ["parent_id"], unique=False)
    op.create_table(
        "activity_invitations",
        sa.Column("activity_id", sa.BigInteger(), nullable=False),
        sa.Column("organisation_id", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["activity_id"], ["activities.id"], name=op.f("fk_activity_invitations_activity_id")),
        sa.ForeignKeyConstraint(
            ["organisation_id"], ["organisations.id"], name=op.f("fk_activity_invitations_organisation_id")
        ),
        sa.PrimaryKeyConstraint("activity_id", "organisation_id", name=op.f("pk_activity_invitations")),
    )
    op.create_index(
        op.f("ix_activity_invitations_organisation_id"), "activity_invitations", ["organisation_id"], unique=False
    )
    op.create_table(
        "activity_organisers",
        sa.Column("activity_id", sa.BigInteger(), nullable=False),
        sa.Column("organisation_id", sa.BigInteger(), nullable=False),
        sa.Column("tier", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.CheckConstraint("tier IN ('lead', 'undertaking', 'assisting')", name=op.f("ck_activity_organisers_tier")),
        sa.ForeignKeyConstraint(["activity_id"], ["activities.id"], name=op.f("fk_activity_organisers_activity_id")),
        sa.ForeignKeyConstraint(
            ["organisation_id"], ["organisations.id"], name=op.f("fk_activity_organisers_organisation_id")
        ),
        sa.PrimaryKeyConstraint("activity_id", "organisation_id", name=op.f("pk_activity_organisers")),
    )
    op.create_index(
        op.f("ix_activity_organisers_organisation_id"), "activity_organisers", ["organisation_id"], unique=False
    )
    op.create_table(
        "members",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("organisation_id", sa.BigInteger(), nullable=False),
        sa.Column("place_code", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), server_default="active", nullable=False),
        sa.CheckConstraint("status IN ('active', 'left')", name=op.f("ck_members_status")),
        sa.ForeignKeyConstraint(["organisation_id"], ["organisations.id"], name=op.f("fk_members_organisation_id")),
        sa.ForeignKeyConstraint(["place_code"], ["divisions.code"], name=op.f("fk_members_place_code")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_members")),
    )
    op.create_index(op.f("ix_members_organisation_id"), "members", ["organisation_id"], unique=False)
    op.create_table(
        "organisers",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("login", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("organisation_id", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["organisation_id"], ["organisations.id"], name=op.f("fk_organisers_organisation_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_organisers")),
        sa.UniqueConstraint("login", name=op.f("uq_organisers_login")),
    )
    op.create_table(
        "sittings",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("activity_id", sa.BigInteger(), nullable=False),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("checkin_opens_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("checkin_closes_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("announced_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("checkin_opens_at < checkin_closes_at", name=op.f("ck_sittings_checkin_window")),
        sa.CheckConstraint("starts_at < ends_at", name=op.f("ck_sittings_times")),
        sa.ForeignKeyConstraint(["activity_id"], ["activities.id"], name=op.f("fk_sittings_activity_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sittings")),
    )
    op.create_index(op.f("ix_sittings_activity_id"), "sittings", ["activity_id"], unique=False)
    op.create_index(
        op.f("ix_sittings_announced_at"),
        "sittings",
        ["announced_at"],
        unique=False,
        postgresql_where=sa.text("announced_at IS NULL"),
    )
    op.create_index(op.f("ix_sittings_ends_at"), "sittings", ["ends_at"], unique=False)
    op.create_table(
        "check_ins",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("activity_id", sa.BigInteger(), nullable=False),
        sa.Column("sitting_id", sa.BigInteger(), nullable=False),
        sa.Column("member_id", sa.BigInteger(), nullable=False),
        sa.Column("method", sa.Text(), server_default="self", nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("happened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("organisation_path", sa.Text(collation="C"), nullable=False),
        sa.Column("place_path", sa.Text(collation="C"), nullable=False),
        sa.CheckConstraint(
            "method IN ('self', 'onsite_qr', 'group', 'proxy', 'paper', 'makeup')", name=op.f("ck_check_ins_method")
        ),
        sa.ForeignKeyConstraint(["activity_id"], ["activities.id"], name=op.f("fk_check_ins_activity_id")),
        sa.ForeignKeyConstraint(["member_id"], ["members.id"], name=op.f("fk_check_ins_member_id")),
        sa.ForeignKeyConstraint(["sitting_id"], ["sittings.id"], name=op.f("fk_check_ins_sitting_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_check_ins")),
        sa.UniqueConstraint("member_id", "reference", name=op.f("uq_check_ins_member_id_reference")),
        sa.UniqueConstraint("sitting_id", "member_id", name=op.f("uq_check_ins_sitting_id_member_id")),
    )
    op.create_index(op.f("ix_check_ins_activity_id"), "check_ins", ["activity_id"], unique=False)
    op.create_table(
        "invitations",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("code_hash", sa.LargeBinary(), nullable=False),
        sa.Column("member_id", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["member_id"], ["members.id"], name=op.f("fk_invitations_member_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_invitations")),
        sa.UniqueConstraint("code_hash", name=op.f("uq_invitations_code_hash")),
    )
    op.create_index(op.f("ix_invitations_member_id"), "invitations", ["member_id"], unique=False)
    op.create_table(
        "organiser_sessions",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("organiser_id", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["organiser_id"], ["organisers.id"], name=op.f("fk_organiser_sessions_organiser_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_organiser_sessions")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_organiser_sessions_token_hash")),
    )
    op.create_index(op.f("ix_organiser_sessions_expires_at"), "organiser_sessions", ["expires_at"], unique=False)
    op.create_index(op.f("ix_organiser_sessions_organiser_id"), "organiser_sessions", ["organiser_id"], unique=False)
    op.create_table(
        "sessions",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("member_id", sa.BigInteger(), nullable=False),
        sa.Column("app", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["member_id"], ["members.id"], name=op.f("fk_sessions_member_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sessions")),
    )
    op.create_index(op.f("ix_sessions_member_id"), "sessions", ["member_id"], unique=False)
    op.create_table(
        "streams",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("sitting_id", sa.BigInteger(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("grace_seconds", sa.Integer(), server_default=sa.text("10"), nullable=False),
        sa.Column("opens_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closes_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("peak", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("peak_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("grace_seconds BETWEEN 0 AND 600", name=op.f("ck_streams_grace")),
        sa.CheckConstraint("opens_at < closes_at", name=op.f("ck_streams_window")),
        sa.ForeignKeyConstraint(["sitting_id"], ["sittings.id"], name=op.f("fk_streams_sitting_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_streams")),
    )
    op.create_index(op.f("ix_streams_closes_at"), "streams", ["closes_at"], unique=False)
    op.create_index(op.f("ix_streams_sitting_id"), "streams", ["sitting_id"], unique=False)
    op.create_table(
        "wechat_identities",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("appid", sa.Text(), nullable=False),
        sa.Column("openid", sa.Text(), nullable=False),
        sa.Column("unionid", sa.Text(), nullable=True),
        sa.Column("member_id", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["member_id"], ["members.id"], name=op.f("fk_wechat_identities_member_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_wechat_identities")),
        sa.UniqueConstraint("appid", "member_id", name=op.f("uq_wechat_identities_appid_member_id")),
        sa.UniqueConstraint("appid", "openid", name=op.f("uq_wechat_identities_appid_openid")),
    )
    op.create_index(op.f("ix_wechat_identities_member_id"), "wechat_identities", ["member_id"], unique=False)
    op.create_index(op.f("ix_wechat_identities_unionid"), "wechat_identities", ["unionid"], unique=False)
    op.create_table(
        "curve_points",
        sa.Column("stream_id", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("online", sa.Integer(), nullable=False),
        sa.Column("connections", sa.Integer(), nullable=False),
        sa.Column("joined", sa.Integer(), nullable=False),
        sa.Column("checked_in", sa.Integer(), nullable=False),
        sa.Column("basis", sa.Text(), nullable=False),
        sa.CheckConstraint("basis IN ('exact', 'degraded')", name=op.f("ck_curve_points_basis")),
        sa.ForeignKeyConstraint(
            ["stream_id"], ["streams.id"], name=op.f("fk_curve_points_stream_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("stream_id", "at", name=op.f("pk_curve_points")),
    )
    op.create_table(
        "denials",
        sa.Column("session_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("member_id", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["member_id"], ["members.id"], name=op.f("fk_denials_member_id")),
        sa.ForeignKeyConstraint(["session_id"], ["sessions.id"], name=op.f("fk_denials_session_id")),
        sa.PrimaryKeyConstraint("session_id", name=op.f("pk_denials")),
    )
    op.create_index(op.f("ix_denials_expires_at"), "denials", ["expires_at"], unique=False)
    op.create_index(op.f("ix_denials_member_id"), "denials", ["member_id"], unique=False)
    op.create_table(
        "refresh_tokens",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("session_id", sa.BigInteger(), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["session_id"], ["sessions.id"], name=op.f("fk_refresh_tokens_session_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refresh_tokens")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_refresh_tokens_token_hash")),
    )
    op.create_index(op.f("ix_refresh_tokens_session_id"), "refresh_tokens", ["session_id"], unique=False)
    op.create_table(
        "stream_sources",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("stream_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.CheckConstraint("kind IN ('hls', 'channels', 'external_h5', 'tv')", name=op.f("ck_stream_sources_kind")),
        sa.ForeignKeyConstraint(["stream_id"], ["streams.id"], name=op.f("fk_stream_sources_stream_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stream_sources")),
    )
    op.create_index(op.f("ix_stream_sources_stream_id"), "stream_sources", ["stream_id"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_stream_sources_stream_id"), table_name="stream_sources")
    op.drop_table("stream_sources")
    op.drop_index(op.f("ix_refresh_tokens_session_id"), table_name="refresh_tokens")
    op.drop_table("refresh_tokens")
    op.drop_index(op.f("ix_denials_member_id"), table_name="denials")
    op.drop_index(op.f("ix_denials_expires_at"), table_name="denials")
    op.drop_table("denials")
    op.drop_table("curve_points")
    op.drop_index(op.f("ix_wechat_identities_unionid"), table_name="wechat_identities")
    op.drop_index(op.f("ix_wechat_identities_member_id"), table_name="wechat_identities")
    op.drop_table("wechat_identities")
    op.drop_index(op.f("ix_streams_sitting_id"), table_name="streams")
    op.drop_index(op.f("ix_streams_closes_at"), table_name="streams")
    op.drop_table("streams")
    op.drop_index(op.f("ix_sessions_member_id"), table_name="sessions")
    op.drop_table("sessions")
    op.drop_index(op.f("ix_organiser_sessions_organiser_id"), table_name="organiser_sessions")
    op.drop_index(op.f("ix_organiser_sessions_expires_at"), table_name="organiser_sessions")
    op.drop_table("organiser_sessions")
    op.drop_index(op.f("ix_invitations_member_id"), table_name="invitations")
    op.drop_table("invitations")
    op.drop_index(op.f("ix_check_ins_activity_id"), table_name="check_ins")
    op.drop_table("check_ins")
    op.drop_index(op.f("ix_sittings_ends_at"), table_name="sittings")
    op.drop_index(
        op.f("ix_sittings_announced_at"), table_name="sittings", postgresql_where=sa.text("announced_at IS NULL")
    )
    op.drop_index(op.f("ix_sittings_activity_id"), table_name="sittings")
    op.drop_table("sittings")
    op.drop_table("organisers")
    op.drop_index(op.f("ix_members_organisation_id"), table_name="members")
    op.drop_table("members")
    op.drop_index(op.f("ix_activity_organisers_organisation_id"), table_name="activity_organisers")
    op.drop_table("activity_organisers")
    op.drop_index(op.f("ix_activity_invitations_organisation_id"), table_name="activity_invitations")
    op.drop_table("activity_invitations")
    op.drop_index(op.f("ix_organisations_parent_id"), table_name="organisations")
    op.drop_table("organisations")
    op.drop_index(op.f("ix_division_aliases_alias"), table_name="division_aliases")
    op.drop_table("division_aliases")
    op.drop_index("ix_deliveries_history", table_name="deliveries")
    op.drop_index("ix_deliveries_due", table_name="deliveries", postgresql_where=sa.text("state = 'pending'"))
    op.drop_table("deliveries")
    op.drop_index(op.f("ix_county_borders_neighbour_code"), table_name="county_borders")
    op.drop_table("county_borders")
    op.drop_table("activities")
    op.drop_index("ix_stays_stream_id_member_id", table_name="stays")
    op.drop_index("ix_stays_open", table_name="stays", postgresql_where="left_at IS NULL")
    op.drop_table("stays")
    op.drop_table("series")
    op.drop_index("ix_outbox_waiting", table_name="outbox", postgresql_where=sa.text("fanned_out_at IS NULL"))
    op.drop_table("outbox")
    op.drop_table("gateways")
    op.drop_index(op.f("ix_endpoints_organisation_path"), table_name="endpoints")
    op.drop_table("endpoints")
    op.drop_index(op.f("ix_divisions_parent_code"), table_name="divisions")
    op.drop_index(op.f("ix_divisions_name"), table_name="divisions")
    op.drop_table("divisions")
