/** The log-in through the organisation's identity provider: a page elsewhere, from which the browser is sent back. */

import { settings } from '../api'
import { t } from '../language'
import type { MessageKey } from '../messages'

export const DOOR = '/api/v1/organisers/oidc'
const TOLD = ['provider_unavailable', 'login_locked'] as const

/** What the provider is called here; empty where there is none. */
export async function providerName(): Promise<string> {
  const name = (await settings())?.provider ?? null
  return name === null ? '' : name || t('singleSignOn')
}

/** What went wrong there, as the address says to which the browser was sent back; null if nothing did. */
export function problemOf(search: string): MessageKey | null {
  const code = new URLSearchParams(search).get('problem')
  return code === null ? null : (TOLD.find((one) => one === code) ?? 'provider_refused')
}
