import { fileURLToPath } from 'node:url'
import vue from '@vitejs/plugin-vue'
import { defineConfig } from 'vitest/config'

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url))

const PAGES = ['wall', 'phone', 'desk', 'gate', 'console']

export default defineConfig({
  plugins: [vue()],
  build: {
    outDir: here('../service/static'),
    emptyOutDir: true,
    target: ['es2020', 'chrome87', 'safari14'],
    // Every file by address: the pages' policy allows no inline scripts and no data: fonts.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 700,
    rollupOptions: { input: PAGES.map((page) => here(`${page}.html`)) },
  },
  test: { include: ['tests/**/*.test.ts'], environment: 'node' },
})
