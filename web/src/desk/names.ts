/** The names of methods, also of one that this page does not know yet. */

import { t } from '../language'

const KNOWN = ['self', 'onsite_qr', 'group', 'proxy', 'paper', 'makeup'] as const

export function methodName(method: string): string {
  const known = KNOWN.find((one) => one === method)
  return known ? t(`method_${known}`) : method
}
