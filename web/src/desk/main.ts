import { createApp } from 'vue'
import '../styles/fonts'
import '../styles/base.css'
import '../styles/entrance.css'
import '../styles/phone.css'
import '../styles/desk.css'
import '../styles/narrow.css'
import DeskPage from './DeskPage.vue'

createApp(DeskPage).mount('#app')
// Without it a reload needs the network; ticks wait either way.
if ('serviceWorker' in navigator) void navigator.serviceWorker.register('/desk/worker.js').catch(() => undefined)
