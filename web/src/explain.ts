/** What to tell a person about something that failed: the server's own words wherever there are any. */

import { Problem } from './api'
import { t } from './language'

export function explain(error: unknown): string {
  if (!(error instanceof Problem)) return t('failed')
  if (error.code === 'unreachable') return t('unreachable')
  return error.title
}
