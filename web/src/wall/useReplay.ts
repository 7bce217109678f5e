/** Replay of a recorded curve: a position, moved by hand or by playing; a whole day takes half a minute. */

import { computed, onScopeDispose, ref, type Ref } from 'vue'
import type { Point } from './curve'

const TICK_MS = 100
const WHOLE_MS = 30_000

export function useReplay(points: Readonly<Ref<readonly Point[]>>) {
  const active = ref(false)
  const playing = ref(false)
  const position = ref(0)
  let recording: readonly Point[] = []
  let timer: ReturnType<typeof setInterval> | null = null

  const last = computed(() => (active.value ? recording.length - 1 : 0))
  const point = computed(() => (active.value ? (recording[Math.floor(position.value)] ?? null) : null))

  function pause(): void {
    playing.value = false
    if (timer) clearInterval(timer)
    timer = null
  }

  function advance(): void {
    position.value = Math.min(last.value, position.value + Math.max(0.2, (last.value * TICK_MS) / WHOLE_MS))
    if (position.value >= last.value) pause()
  }

  function play(): void {
    if (position.value >= last.value) position.value = 0
    playing.value = true
    timer ??= setInterval(advance, TICK_MS)
  }

  function open(): void {
    recording = points.value // what is recorded later does not move the slider under the finger
    position.value = 0
    active.value = true
    if (recording.length > 1) play()
  }

  function close(): void {
    pause()
    active.value = false
  }

  function seek(to: number): void {
    pause()
    position.value = to
  }

  onScopeDispose(pause)
  return { active, playing, position, last, point, recording: () => recording, open, close, play, pause, seek }
}
