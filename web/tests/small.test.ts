import { beforeEach, describe, expect, it, vi } from 'vitest'
import { phase, sittingNow, streamNow, tiers } from '../src/activity'
import { asProblem, Problem, type Activity } from '../src/api'
import { age, learnSkew, serverNow } from '../src/clock'
import { clockTime, language, number, period, t } from '../src/language'
import { channelOf, supersedes, type Snapshot } from '../src/live'
import { en, zh } from '../src/messages'
import { newReference, pendingReference, referenceFor, settleReference } from '../src/reference'
import { problemOf, providerName } from '../src/wall/singleSignOn'
import { certainty } from '../src/wall/state'

const NINE = Date.parse('2026-11-23T01:00:00Z')
const HOUR = 3_600_000
const iso = (t: number): string => new Date(t).toISOString()

function activity(...starts: number[]): Activity {
  const sittings = starts.map((start, id) => ({
    id,
    starts_at: iso(start),
    ends_at: iso(start + HOUR),
    checkin_opens_at: iso(start),
    checkin_closes_at: iso(start + HOUR),
    streams: [{ id: id * 10, title: '', grace_seconds: 10, opens_at: iso(start), closes_at: iso(start + HOUR) }],
  }))
  const organisers = (['assisting', 'lead', 'lead'] as const).map((tier, id) => ({ id, name: `org${id}`, tier }))
  const plain = { id: 1, kind: 'themed_day', theme: '', series: null, attendance: 'open' as const }
  return { ...plain, rehearsal: false, timezone: 'Asia/Shanghai', organisers, sittings }
}

beforeEach(() => {
  language.value = 'zh'
})

describe('texts', () => {
  it('are complete in both languages, with the same values to fill in', () => {
    const values = (text: string): string[] => [...text.matchAll(/\{\w+\}/g)].map(String).sort()
    for (const [key, text] of Object.entries(zh)) {
      expect(en[key as keyof typeof zh], key).toBeTruthy()
      expect(values(en[key as keyof typeof zh]), key).toEqual(values(text))
    }
  })

  it('follow the language', () => {
    expect(t('degradedLease', { n: 3 })).toBe('降级：租约未按时续期，3 人存疑')
    language.value = 'en'
    expect(t('degradedLease', { n: 3 })).toContain('3 in doubt')
    expect(number(153_207)).toBe('153,207')
    expect(number(null)).toBe('—')
  })

  it("tell the time in the activity's zone", () => {
    expect(clockTime(NINE, 'Asia/Shanghai')).toBe('09:00:00')
    expect(clockTime(NINE, 'Asia/Urumqi')).toBe('07:00:00')
    expect(period(NINE, NINE + HOUR, 'Asia/Shanghai')).toBe('2026年11月23日星期一 09:00 – 10:00')
    expect(period(NINE, NINE + 24 * HOUR, 'Asia/Shanghai')).toBe('2026年11月23日星期一 09:00 – 11月24日周二 09:00')
    expect(clockTime(NINE, 'No/Where')).toMatch(/^\d\d:\d\d:\d\d$/)
  })
})

describe('references', () => {
  it('are UUIDs also where the page has no secure context', () => {
    const insecure = { getRandomValues: crypto.getRandomValues.bind(crypto) }
    const made = new Set(Array.from({ length: 200 }, () => newReference(insecure)))
    expect(made.size).toBe(200)
    for (const one of made) expect(one).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
  })

  it('stay the same until the server has answered', () => {
    const first = referenceFor(1, 2)
    expect(referenceFor(1, 2)).toBe(first)
    expect(referenceFor(3, 2)).not.toBe(first)
    settleReference(1, 2)
    expect(pendingReference(1, 2)).toBeNull()
    expect(referenceFor(1, 2)).not.toBe(first)
  })
})

describe('an activity', () => {
  it('is now while a stream is open, and opens the one that is', () => {
    const two = activity(NINE, NINE + 2 * HOUR)
    const moments = [NINE - 1, NINE, NINE + HOUR, NINE + 3 * HOUR]
    expect(moments.map((now) => phase(two, now))).toEqual(['soon', 'now', 'soon', 'over'])
    expect([NINE, NINE + HOUR, NINE + 9 * HOUR].map((now) => streamNow(two, now)?.id)).toEqual([0, 10, 10])
    expect(sittingNow(two, NINE + HOUR)?.id).toBe(1)
    expect(streamNow(activity(), NINE)).toBeNull()
  })

  it('names its organisers by tier, in their order', () => {
    expect(tiers(activity())).toEqual([
      { tier: 'lead', names: ['org1', 'org2'] },
      { tier: 'assisting', names: ['org0'] },
    ])
  })
})

describe('a figure', () => {
  it('says how sure it is', () => {
    expect(certainty(null).level).toBe('waiting')
    expect(certainty({ basis: 'exact', reason: null }).label).toBe('exact')
    expect(certainty({ basis: 'degraded', reason: 'rebuilding' }).label).toBe('degradedRebuilding')
    expect(certainty({ basis: 'degraded', reason: null }).level).toBe('degraded')
    expect(certainty({ basis: 'exact', reason: 'valkey' }).level).toBe('degraded')
  })

  it('is never replaced by an older reading of its epoch', () => {
    const of = (epoch: number, seq: number, stream = 7): Snapshot => ({ stream, epoch: String(epoch), seq }) as Snapshot
    expect(supersedes(of(1, 4), of(1, 5))).toBe(false)
    expect(supersedes(of(1, 5), of(1, 5))).toBe(true)
    expect(supersedes(of(2, 1), of(1, 5))).toBe(true)
    expect(supersedes(of(1, 1, 8), of(1, 5))).toBe(true)
  })

  it("has an age by the server's clock", () => {
    expect(age(iso(NINE), NINE + 2_500)).toBe(2.5)
    expect(age(iso(NINE), NINE - 2_500)).toBe(0)
    const now = Date.now()
    learnSkew(now + 3_600_000, now, now)
    expect(serverNow() - Date.now()).toBeGreaterThan(3_599_000)
    learnSkew(now, now, now)
    expect(Math.abs(serverNow() - Date.now())).toBeLessThan(50)
  })
})

describe('a problem', () => {
  it("keeps the server's words", () => {
    const closed = { code: 'checkin_closed', title: '签到已结束', status: 409 }
    expect(asProblem(closed)).toMatchObject(closed)
    expect(asProblem({ title: 'no code' })).toBeNull()
    expect(asProblem('text')).toBeNull()
  })

  it('was not answered when there was no answer or the server broke', () => {
    expect([0, 503, 409].map((status) => new Problem('x', status, '').unanswered)).toEqual([true, true, false])
  })
})

it('a browser inside WeChat counts as the Official Account', () => {
  vi.unstubAllGlobals()
  expect(channelOf('Mozilla/5.0 … MicroMessenger/8.0.50 …')).toBe('official_account')
  expect(channelOf('Mozilla/5.0 (iPhone) Safari')).toBe('h5')
})

describe('single sign-on', () => {
  const says = (provider: unknown): void => {
    vi.stubGlobal('fetch', async () => new Response(JSON.stringify({ demo: false, phone: '', provider })))
  }

  it('is offered by its name, where there is one', async () => {
    says(null)
    expect(await providerName()).toBe('')
    says('')
    expect(await providerName()).toBe('统一身份认证')
    says('政务统一认证')
    expect(await providerName()).toBe('政务统一认证')
    vi.unstubAllGlobals()
  })

  it('says in our own words what went wrong, whatever the address says', () => {
    expect(problemOf('?activity=1')).toBeNull()
    expect(problemOf('?problem=provider_unavailable')).toBe('provider_unavailable')
    expect(problemOf('?problem=<b>x</b>')).toBe('provider_refused')
  })
})
