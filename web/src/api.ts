/** The REST calls of the pages, typed once. Every refusal is a `Problem` that carries the server's own words. */

import { language } from './language'

export type Basis = 'exact' | 'degraded'
export interface Named {
  id: number
  name: string
}
export interface Member {
  id: number
  organisation: Named
  place: { code: string; name: string } | null
}
export interface MemberTokens {
  access_token: string
  expires_in: number
  refresh_token: string
  member: Member
}
export interface Organiser extends Named {
  organisation: Named
  /** What the account may do just now. */
  purposes: string[]
  second_factor_missing: boolean
}
export interface LogIn {
  login: string
  password: string
  /** Of the authenticator, or of an administrator if it is a recovery; empty if there is none. */
  code: string
  recovery: boolean
}
export interface Source {
  kind: 'hls' | 'channels' | 'external_h5' | 'tv'
  url: string
}
export interface Stream {
  id: number
  title: string
  grace_seconds: number
  opens_at: string
  closes_at: string
  sources?: Source[]
  gateway?: string
}
export interface Sitting {
  id: number
  starts_at: string
  ends_at: string
  checkin_opens_at: string
  checkin_closes_at: string
  streams: Stream[]
}
export interface CheckIn {
  id: number
  activity: number
  sitting: number
  reference: string
  method: string
  happened_at: string
  received_at: string
  annulled_at: string | null
}
/** How a member stands in an activity, beside the check-ins. */
export interface Own {
  expected: boolean | null
  leave: { state: 'asked' | 'approved' | 'declined'; reason: string } | null
  make_up: { kind: string; happened_at: string } | null
  make_up_until: string | null
}
export interface Activity {
  id: number
  kind: string
  theme: string
  series: { id: number; name: string; edition: string } | null
  attendance: 'open' | 'rostered'
  rehearsal: boolean
  timezone: string
  organisers: (Named & { tier: 'lead' | 'undertaking' | 'assisting' })[]
  sittings: Sitting[]
  my_check_ins?: CheckIn[]
}
export interface CurvePoint {
  at: string
  online: number
  connections: number
  joined: number
  checked_in: number
}
export interface Curve {
  points: CurvePoint[]
  outages: { from: string; to: string; reason: string }[]
}

/** A refusal: the problem document of the server, or `unreachable` when there was no answer at all. */
export class Problem extends Error {
  constructor(
    readonly code: string,
    readonly status: number,
    readonly title: string,
    readonly detail = '',
  ) {
    super(title)
    this.name = 'Problem'
  }

  /** Whether the server may not have seen or finished the request: repeating it is right. */
  get unanswered(): boolean {
    return this.status === 0 || this.status >= 500
  }
}

/** The problem document in `body`, wherever it came from; null if it is none. */
export function asProblem(body: unknown): Problem | null {
  if (typeof body !== 'object' || body === null) return null
  const { code, title, status, detail } = body as Record<string, unknown>
  if (typeof code !== 'string' || typeof title !== 'string') return null
  return new Problem(code, Number(status) || 400, title, typeof detail === 'string' ? detail : '')
}

export interface Answer<T> {
  status: number
  body: T
}
export interface Options {
  body?: unknown
  token?: string
}

const PATIENCE_MS = 15_000
const listeners = new Set<(serverTime: number, sent: number, received: number) => void>()

/** Hear the server's clock with every answer. */
export function onServerTime(listen: (serverTime: number, sent: number, received: number) => void): void {
  listeners.add(listen)
}

export async function call<T>(method: string, path: string, options: Options = {}): Promise<Answer<T>> {
  const headers: Record<string, string> = { Accept: 'application/json', 'Accept-Language': language.value }
  if (options.body !== undefined) headers['Content-Type'] = 'application/json'
  if (options.token) headers.Authorization = `Bearer ${options.token}`
  const limit = new AbortController()
  const timer = setTimeout(() => limit.abort(), PATIENCE_MS)
  const sent = Date.now()
  try {
    const response = await fetch(`/api/v1${path}`, {
      method,
      headers,
      body: options.body === undefined ? null : JSON.stringify(options.body),
      signal: limit.signal,
      credentials: 'same-origin',
      cache: 'no-store',
    })
    const text = await response.text()
    tellTime(response, sent)
    const body: unknown = text && isJson(response) ? JSON.parse(text) : null
    if (!response.ok) {
      throw asProblem(body) ?? new Problem('unexpected', response.status, `HTTP ${response.status}`)
    }
    return { status: response.status, body: body as T }
  } catch (error) {
    if (error instanceof Problem) throw error
    throw new Problem('unreachable', 0, '')
  } finally {
    clearTimeout(timer)
  }
}

function isJson(response: Response): boolean {
  return (response.headers.get('Content-Type') ?? '').includes('json')
}

function tellTime(response: Response, sent: number): void {
  const server = Date.parse(response.headers.get('Date') ?? '')
  if (Number.isNaN(server)) return
  for (const listen of listeners) listen(server, sent, Date.now())
}

export interface Settings {
  /** Whether this is the demonstration, where a guest gets a place on the roster at once. */
  demo: boolean
  /** The phone page's public address, as the QR code has it. */
  phone: string
  /** What the identity provider of organisers is called, empty for its usual name; null: there is none. */
  provider: string | null
}

/** What the server says before anybody has logged in; null if it says nothing. */
export async function settings(): Promise<Settings | null> {
  const response = await fetch('/m/settings.json', { cache: 'no-store' }).catch(() => null)
  return response?.ok ? ((await response.json()) as Settings) : null
}

const get = async <T>(path: string, token?: string): Promise<T> =>
  (await call<T>('GET', path, token ? { token } : {})).body

export const organisers = {
  logIn: async ({ login, password, code, recovery }: LogIn): Promise<Organiser> => {
    const body = { login, password, ...(code ? { code } : {}) }
    const door = recovery ? '/organisers/recovery' : '/organisers/sessions'
    return (await call<{ organiser: Organiser }>('POST', door, { body })).body.organiser
  },
  beginFactor: async (password: string): Promise<{ secret: string; uri: string }> =>
    (await call<{ secret: string; uri: string }>('POST', '/organisers/me/second-factor', { body: { password } })).body,
  confirmFactor: async (code: string): Promise<string[]> =>
    (await call<{ recovery_codes: string[] }>('POST', '/organisers/me/second-factor/confirmation', { body: { code } }))
      .body.recovery_codes,
  me: async (): Promise<Organiser> => {
    const body = await get<Organiser | { organiser: Organiser }>('/organisers/me')
    return 'organiser' in body ? body.organiser : body
  },
  logOut: async (): Promise<void> => {
    await call('DELETE', '/organisers/sessions/current')
  },
  activities: async (): Promise<Activity[]> =>
    (await get<{ activities: Activity[] }>('/organisers/activities')).activities,
  curve: (stream: number): Promise<Curve> => get<Curve>(`/streams/${stream}/curve`),
}

export const members = {
  logIn: async (code: string, invitation?: string): Promise<MemberTokens> =>
    (
      await call<MemberTokens>('POST', '/sessions', {
        body: { app: 'mini_program', code, ...(invitation ? { invitation } : {}) },
      })
    ).body,
  refresh: async (refreshToken: string): Promise<MemberTokens> =>
    (await call<MemberTokens>('POST', '/sessions/refresh', { body: { refresh_token: refreshToken } })).body,
  logOut: async (token: string): Promise<void> => {
    await call('DELETE', '/sessions/current', { token })
  },
  activities: async (token: string): Promise<Activity[]> =>
    (await get<{ activities: Activity[] }>('/activities', token)).activities,
  activity: (token: string, id: number): Promise<Activity> => get<Activity>(`/activities/${id}`, token),
  checkIn: async (
    token: string,
    activity: number,
    body: { reference: string; sitting: number } | { reference: string; code: string },
  ): Promise<CheckIn> => (await call<CheckIn>('POST', `/activities/${activity}/check-ins`, { token, body })).body,
  undo: async (token: string, activity: number, reference: string): Promise<void> =>
    void (await call('DELETE', `/activities/${activity}/check-ins/${reference}`, { token })),
  own: (token: string, activity: number): Promise<Own> => get<Own>(`/activities/${activity}/my-attendance`, token),
  askLeave: async (token: string, activity: number, reason: string): Promise<void> =>
    void (await call('PUT', `/activities/${activity}/leave`, { token, body: { reason } })),
  withdrawLeave: async (token: string, activity: number): Promise<void> =>
    void (await call('DELETE', `/activities/${activity}/leave`, { token })),
  demoGuest: async (): Promise<{ code: string; invitation: string }> =>
    (await call<{ code: string; invitation: string }>('POST', '/demo/guests')).body,
}
