/** Light or dark, remembered; the wall of a hall is often dark, a laptop's rarely. */

import { ref, watchEffect } from 'vue'
import { recall, remember } from './storage'

const KEY = 'chunshui.theme'
export type Theme = 'light' | 'dark'

export const theme = ref<Theme>(recall(KEY) === 'dark' ? 'dark' : 'light')

export function followTheme(): void {
  watchEffect(() => {
    remember(KEY, theme.value)
    document.documentElement.dataset.theme = theme.value
  })
}
