/** The console's REST calls: accounts, grants, recoveries; gates. */

import { call, type Named } from '../api'

/** For which purposes each role may be granted; the server has the last word. */
export const PURPOSES_OF = {
  branch_secretary: ['activities', 'roster'],
  organiser: ['activities', 'roster', 'push'],
  system_administrator: ['accounts'],
  security_administrator: ['grants'],
  auditor: ['audit'],
} as const
export type Role = keyof typeof PURPOSES_OF
export const ROLES = Object.keys(PURPOSES_OF) as Role[]

export interface Account extends Named {
  login: string
  organisation: Named
  office: string | null
}
export interface Grant {
  id: number
  role: string
  purpose: string
  organisation: Named
  valid_from: string
  valid_to: string | null
  given_by: number | null
  revoked_at: string | null
}
export interface GrantWish {
  role: Role
  purpose: string
  organisation_id: number
  valid_from: string | null
  valid_to: string | null
}
export interface Recovery {
  id: number
  account: number
  proposed_by: number | null
  proposed_at: string
  expires_at: string
}
export interface Found extends Named {
  level: string
  below: string | null
}
export interface Gate extends Named {
  paired_at: string | null
  revoked_at: string | null
  pairing_expires_at: string | null
  code?: string
}

const get = async <T>(path: string): Promise<T> => (await call<T>('GET', path)).body
const post = async <T>(path: string, body?: unknown): Promise<T> => (await call<T>('POST', path, { body })).body
const remove = async (path: string): Promise<void> => void (await call('DELETE', path))

export const accounts = {
  all: async (): Promise<Account[]> => (await get<{ accounts: Account[] }>('/accounts')).accounts,
  find: async (name: string): Promise<Found[]> =>
    (await get<{ organisations: Found[] }>(`/accounts/organisations?name=${encodeURIComponent(name)}`)).organisations,
  open: (login: string, name: string, organisation_id: number): Promise<{ id: number; code: string }> =>
    post('/accounts', { login, name, organisation_id }),
  grants: async (account: number): Promise<Grant[]> =>
    (await get<{ grants: Grant[] }>(`/accounts/${account}/grants`)).grants,
  give: (account: number, wish: GrantWish): Promise<Grant> => post(`/accounts/${account}/grants`, wish),
  revoke: (grant: number): Promise<void> => remove(`/grants/${grant}`),
  propose: (account: number): Promise<Recovery> => post(`/accounts/${account}/recovery`),
  recoveries: async (): Promise<Recovery[]> => (await get<{ recoveries: Recovery[] }>('/recoveries')).recoveries,
  approve: async (recovery: number): Promise<string> =>
    (await post<{ code: string }>(`/recoveries/${recovery}/approval`)).code,
}

const gatesOf = (activity: number): string => `/activities/${activity}/gates`
export const gates = {
  all: async (activity: number): Promise<Gate[]> => (await get<{ gates: Gate[] }>(gatesOf(activity))).gates,
  register: (activity: number, name: string): Promise<Gate> => post(gatesOf(activity), { name }),
  pairAnew: (activity: number, gate: number): Promise<Gate> => post(`${gatesOf(activity)}/${gate}/pairing`),
  revoke: (activity: number, gate: number): Promise<void> => remove(`${gatesOf(activity)}/${gate}`),
}
