/** The names of roles and purposes, and days as grants count them: civil days in China. */

import { day, t } from '../language'
import { PURPOSES_OF } from './api'

const CHINA = 'Asia/Shanghai'
const ROLES = Object.keys(PURPOSES_OF) as (keyof typeof PURPOSES_OF)[]
const PURPOSES = ['activities', 'roster', 'push', 'accounts', 'grants', 'audit'] as const

export function roleName(role: string): string {
  const known = ROLES.find((one) => one === role)
  return known ? t(`role_${known}`) : role
}

export function purposeName(purpose: string): string {
  const known = PURPOSES.find((one) => one === purpose)
  return known ? t(`purpose_${known}`) : purpose
}

export const dateOf = (moment: string): string => day(moment, CHINA)
/** The last day on which something holds that ends at `moment`. */
export const lastDateOf = (moment: string): string => day(Date.parse(moment) - 1, CHINA)
/** The beginning of a day, as an ISO 8601 time. */
export const startOf = (date: string): string => `${date}T00:00:00+08:00`
/** The end of a day. */
export const dayAfter = (date: string): string =>
  new Date(Date.parse(startOf(date)) + 24 * 3600 * 1000).toISOString()
