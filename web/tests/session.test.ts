import { beforeEach, describe, expect, it, vi } from 'vitest'
import { Problem, type MemberTokens } from '../src/api'
import { MemberSession } from '../src/session'

const tokens = (n: number): MemberTokens => ({
  access_token: `access-${n}`,
  refresh_token: `refresh-${n}`,
  expires_in: 60,
  member: { id: 9, organisation: { id: 1, name: '支部' }, place: null },
})
const refusal = (code: string, status = 401): Problem => new Problem(code, status, code)
const expiredUntil = (good: string) => async (token: string) => {
  if (token !== good) throw refusal('token_expired')
  return 'done'
}

beforeEach(() => {
  const kept = new Map<string, string>()
  vi.stubGlobal('localStorage', {
    getItem: (key: string) => kept.get(key) ?? null,
    setItem: (key: string, value: string) => void kept.set(key, value),
    removeItem: (key: string) => void kept.delete(key),
  })
})

describe('a member session', () => {
  it('renews an expired token once for all who ask at the same time', async () => {
    const refresh = vi.fn(async () => tokens(2))
    const session = new MemberSession({ refresh })
    session.open(tokens(1))
    const act = expiredUntil('access-2')
    expect(await Promise.all([session.as(act), session.as(act), session.as(act)])).toEqual(['done', 'done', 'done'])
    expect(refresh).toHaveBeenCalledTimes(1)
    expect(refresh).toHaveBeenCalledWith('refresh-1')
  })

  it('takes what another tab has renewed instead of using the old refresh token twice', async () => {
    const refresh = vi.fn(async () => tokens(3))
    const [here, there] = [new MemberSession({ refresh }), new MemberSession({ refresh })]
    here.open(tokens(1))
    there.open(tokens(2))
    expect(await here.as(expiredUntil('access-2'))).toBe('done')
    expect(refresh).not.toHaveBeenCalled()
  })

  it('ends when the refresh token is refused, and is gone after a reload', async () => {
    const session = new MemberSession({ refresh: async () => Promise.reject(refusal('refresh_reused')) })
    session.open(tokens(1))
    await expect(session.as(expiredUntil('never'))).rejects.toThrow('refresh_reused')
    expect(session.member.value).toBeNull()
    expect(new MemberSession().member.value).toBeNull()
  })

  it('outlives a server that does not answer', async () => {
    const session = new MemberSession({ refresh: async () => Promise.reject(refusal('unreachable', 0)) })
    session.open(tokens(1))
    await expect(session.as(expiredUntil('never'))).rejects.toThrow()
    expect(session.member.value?.id).toBe(9)
  })

  it('ends when its token is denied, and stays for any other refusal', async () => {
    const session = new MemberSession({ refresh: async () => tokens(2) })
    session.open(tokens(1))
    await expect(session.as(async () => Promise.reject(refusal('checkin_closed', 409)))).rejects.toThrow()
    expect(session.member.value?.id).toBe(9)
    await expect(session.as(async () => Promise.reject(refusal('token_denied')))).rejects.toThrow()
    expect(session.member.value).toBeNull()
    expect(session.ending.value).toBe('token_denied')
    session.open(tokens(2))
    expect(session.ending.value).toBe('')
  })
})
