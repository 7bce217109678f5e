/** Trying something at the server: busy meanwhile, and what went wrong in words. */

import { ref } from 'vue'
import { explain } from '../explain'

export function useAttempt() {
  const busy = ref(false)
  const refusal = ref('')

  /** Whether it went well. */
  async function attempt(act: () => Promise<unknown>): Promise<boolean> {
    busy.value = true
    refusal.value = ''
    try {
      await act()
      return true
    } catch (error) {
      refusal.value = explain(error)
      return false
    } finally {
      busy.value = false
    }
  }
  return { busy, refusal, attempt }
}
