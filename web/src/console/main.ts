import { createApp } from 'vue'
import '../styles/fonts'
import '../styles/base.css'
import '../styles/entrance.css'
import '../styles/fields.css'
import '../styles/console.css'
import '../styles/narrow.css'
import ConsolePage from './ConsolePage.vue'

createApp(ConsolePage).mount('#app')
