import { createApp } from 'vue'
import '../styles/fonts'
import '../styles/base.css'
import '../styles/gate.css'
import { keepForOffline } from '../offline'
import GatePage from './GatePage.vue'

createApp(GatePage).mount('#app')
keepForOffline('/gate/')
