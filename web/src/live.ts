/**
 * The two sockets, typed once: the organisers' feed and a member's presence in a stream.
 *
 * Both speak WebSocket only; the JavaScript client would otherwise poll first, which no door of ours answers.
 */

import { io, type Socket } from 'socket.io-client'
import { asProblem, Problem, type Basis } from './api'

export interface NodeCount {
  id: number
  name: string
  online: number | null
}
export interface PlaceCount {
  code: string
  name: string
  online: number | null
}
export interface Snapshot {
  stream: number
  epoch: string
  seq: number
  as_of: string
  basis: Basis
  reason: null | 'lease' | 'behind' | 'rebuilding' | 'valkey'
  in_doubt: number
  online: number | null
  connections: number | null
  joined: number | null
  peak: number | null
  peak_at: string | null
  checked_in: number | null
  organisation: NodeCount | null
  organisations: NodeCount[]
  place: PlaceCount | null
  places: PlaceCount[]
  /** Null where the few are not shown to organisers of another part of the tree. */
  channels: Record<string, number | null>
  sources: Record<string, number | null>
}
export interface Watch {
  stream: number
  organisation?: number
  place?: string
}
export interface Count {
  stream: number
  count: number | null
  basis: Basis
  as_of: string
}
/** A host asks everybody in the stream to check in now. */
export interface Call {
  stream: number
  activity: number
  sitting: number
  called_at: string
}
type Ack = { ok: true } | { ok: false; error: unknown }

const RECONNECT = { reconnectionDelay: 500, reconnectionDelayMax: 8_000, randomizationFactor: 0.5 }
const ACK_MS = 10_000

/** Whether `next` may replace `last`: within one epoch a figure never goes back to an older reading. */
export function supersedes(next: Snapshot, last: Snapshot | null): boolean {
  return last === null || next.stream !== last.stream || next.epoch !== last.epoch || next.seq >= last.seq
}

interface FeedEvents {
  snapshot: (snapshot: Snapshot) => void
  connected: (connected: boolean) => void
  refused: (problem: Problem) => void
}

/** The organisers' feed: says again what it watches after every reconnection. */
export class Feed {
  private readonly socket: Socket
  private watching: Watch | null = null

  constructor(private readonly on: FeedEvents) {
    this.socket = io('/organisers', { transports: ['websocket'], forceNew: true, ...RECONNECT })
    this.socket.on('connect', () => {
      on.connected(true)
      this.ask()
    })
    this.socket.on('disconnect', (reason) => {
      on.connected(false)
      if (reason === 'io server disconnect') this.socket.connect()
    })
    this.socket.on('connect_error', (error) => this.failed(error))
    this.socket.on('snapshot', (snapshot: Snapshot) => {
      if (snapshot.stream === this.watching?.stream) on.snapshot(snapshot)
    })
  }

  watch(watch: Watch): void {
    const before = this.watching
    this.watching = watch
    if (!this.socket.connected) return
    if (before && before.stream !== watch.stream) this.socket.emit('unwatch', { stream: before.stream })
    this.ask()
  }

  close(): void {
    this.watching = null
    this.socket.disconnect()
  }

  private ask(): void {
    const watch = this.watching
    if (!watch) return
    this.socket.timeout(ACK_MS).emit('watch', watch, (late: Error | null, ack?: Ack) => {
      if (late || !ack || ack.ok || this.watching !== watch) return
      this.on.refused(asProblem(ack.error) ?? new Problem('unexpected', 400, ''))
    })
  }

  private failed(error: Error): void {
    this.on.connected(false)
    const problem = asProblem((error as Error & { data?: unknown }).data)
    if (problem) this.on.refused(problem)
  }
}

export type Presence = 'connecting' | 'joined' | 'reconnecting' | 'left'
interface RoomEvents {
  presence: (presence: Presence) => void
  count: (count: Count) => void
  called: (call: Call) => void
  refused: (problem: Problem) => void
}
interface Credentials {
  access: string
  renew: (stale: string) => Promise<string>
}

/** A member's presence in one stream: joins, joins again after every reconnection, leaves when told. */
export class Room {
  private readonly socket: Socket
  private inside = true
  private token = ''

  constructor(
    gateway: string,
    private readonly stream: number,
    private readonly session: Credentials,
    private readonly on: RoomEvents,
  ) {
    this.socket = io(gateway, {
      transports: ['websocket'],
      forceNew: true,
      auth: (give) => {
        this.token = session.access
        give({ token: this.token, channel: channelOf(navigator.userAgent), source: 'hls' })
      },
      ...RECONNECT,
    })
    on.presence('connecting')
    this.socket.on('connect', () => this.join())
    this.socket.on('count', (count: Count) => {
      if (count.stream === stream) on.count(count)
    })
    this.socket.on('check_in_now', (call: Call) => on.called(call))
    this.socket.on('closing', (problem: unknown) => this.refuse(asProblem(problem))) // opened elsewhere: stay away
    this.socket.on('disconnect', (reason) => {
      if (!this.inside) return
      on.presence('reconnecting')
      if (reason === 'io server disconnect') this.again()
    })
    this.socket.on('connect_error', (error) => void this.failed(error))
  }

  /** Leave at once, without waiting for the grace of a lost connection. */
  leave(): void {
    if (!this.inside) return
    this.inside = false
    if (this.socket.connected) this.socket.emit('leave', { stream: this.stream })
    this.socket.disconnect()
    this.on.presence('left')
  }

  private join(): void {
    if (!this.inside) return
    this.socket
      .timeout(ACK_MS)
      .emit('join', { stream: this.stream }, (late: Error | null, ack?: (Ack & Partial<Count>) | undefined) => {
        if (!this.inside) return
        if (late || !ack) {
          if (this.socket.connected) this.join() // joining twice counts once
        } else if (ack.ok) {
          this.on.presence('joined')
          this.on.count(ack as Count)
        } else {
          this.refuse(asProblem(ack.error))
        }
      })
  }

  private again(): void {
    setTimeout(() => this.inside && this.socket.connect(), 1_000 + Math.random() * 2_000)
  }

  private async failed(error: Error): Promise<void> {
    if (!this.inside) return
    const problem = asProblem((error as Error & { data?: unknown }).data)
    if (problem === null) return this.on.presence('reconnecting') // no answer: the client tries again by itself
    if (problem.code !== 'token_expired') return this.refuse(problem)
    try {
      await this.session.renew(this.token)
      this.socket.connect()
    } catch (cause) {
      if (cause instanceof Problem && !cause.unanswered) this.refuse(cause)
      else this.again()
    }
  }

  private refuse(problem: Problem | null): void {
    this.leave()
    this.on.refused(problem ?? new Problem('unexpected', 400, ''))
  }
}

/** The channel that the gateway counts this browser under. */
export const channelOf = (userAgent: string): string =>
  /MicroMessenger/i.test(userAgent) ? 'official_account' : 'h5'
