/** How sure a figure is, in words: what the chip says and why. */

import type { MessageKey } from '../messages'
import type { Snapshot } from '../live'

export interface Certainty {
  level: 'exact' | 'degraded' | 'waiting'
  label: MessageKey
  why: MessageKey
}

export function certainty(snapshot: Pick<Snapshot, 'basis' | 'reason'> | null): Certainty {
  if (!snapshot) return { level: 'waiting', label: 'waiting', why: 'waitingWhy' }
  if (snapshot.basis === 'exact' && !snapshot.reason) return { level: 'exact', label: 'exact', why: 'exactWhy' }
  if (snapshot.reason === 'lease') return { level: 'degraded', label: 'degradedLease', why: 'degradedLeaseWhy' }
  if (snapshot.reason === 'rebuilding')
    return { level: 'degraded', label: 'degradedRebuilding', why: 'degradedRebuildingWhy' }
  if (snapshot.reason === 'valkey') return { level: 'degraded', label: 'degradedValkey', why: 'degradedValkeyWhy' }
  return { level: 'degraded', label: 'degradedPlain', why: 'degradedPlainWhy' }
}
