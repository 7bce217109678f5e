/**
 * A member's log-in on this phone: tokens kept in the browser, renewed when they expire.
 *
 * A refresh token works once, so all callers of one page share one renewal, and a tab first looks whether another
 * tab has already renewed.
 */

import { computed, ref, type ComputedRef } from 'vue'
import { members, Problem, type Member, type MemberTokens } from './api'
import { explain } from './explain'
import { forget, recall, remember } from './storage'

const KEY = 'chunshui.session'
/** The log-in is gone for good; asking again with the same tokens cannot help. */
const OVER = new Set(['token_invalid', 'token_denied', 'token_missing', 'refresh_invalid', 'refresh_reused'])

interface Doors {
  refresh: (refreshToken: string) => Promise<MemberTokens>
}

export class MemberSession {
  private readonly tokens = ref<MemberTokens | null>(read())
  private renewal: Promise<string> | null = null
  readonly member: ComputedRef<Member | null> = computed(() => this.tokens.value?.member ?? null)
  /** Why the log-in ended, when it was not the member who ended it. */
  readonly ending = ref('')

  constructor(private readonly doors: Doors = members) {}

  open(tokens: MemberTokens): void {
    this.ending.value = ''
    this.tokens.value = tokens
    remember(KEY, JSON.stringify(tokens))
  }

  close(problem?: Problem): void {
    this.ending.value = problem ? explain(problem) : ''
    this.tokens.value = null
    forget(KEY)
  }

  get access(): string {
    return this.tokens.value?.access_token ?? ''
  }

  /** `act` with a good token: an expired one is renewed once, a revoked log-in is closed. */
  async as<T>(act: (token: string) => Promise<T>): Promise<T> {
    const token = this.access
    try {
      return await act(token)
    } catch (error) {
      if (!(error instanceof Problem)) throw error
      if (error.code === 'token_expired') return await act(await this.renew(token))
      if (OVER.has(error.code)) this.close(error)
      throw error
    }
  }

  /** A token newer than `stale`. */
  renew(stale: string): Promise<string> {
    this.renewal ??= this.renewOnce(stale).finally(() => (this.renewal = null))
    return this.renewal
  }

  private async renewOnce(stale: string): Promise<string> {
    return await exclusively(async () => {
      const kept = read()
      if (kept === null) {
        this.close()
        throw new Problem('refresh_invalid', 401, '')
      }
      if (kept.access_token === stale) return await this.exchange(kept.refresh_token)
      this.tokens.value = kept
      return kept.access_token
    })
  }

  private async exchange(refreshToken: string): Promise<string> {
    try {
      this.open(await this.doors.refresh(refreshToken))
    } catch (error) {
      if (error instanceof Problem && !error.unanswered) this.close(error)
      throw error
    }
    return this.access
  }
}

function read(): MemberTokens | null {
  try {
    const kept = JSON.parse(recall(KEY) ?? 'null') as MemberTokens | null
    return kept?.access_token && kept.refresh_token && kept.member ? kept : null
  } catch {
    return null
  }
}

/** One tab at a time where the browser can (secure contexts only); else as is. */
async function exclusively<T>(act: () => Promise<T>): Promise<T> {
  const locks = (globalThis.navigator as Partial<Navigator> | undefined)?.locks
  return locks ? ((await locks.request(KEY, act)) as T) : await act()
}
