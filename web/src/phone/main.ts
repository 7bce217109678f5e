import { createApp } from 'vue'
import '../styles/base.css'
import '../styles/phone.css'
import PhonePage from './PhonePage.vue'

createApp(PhonePage).mount('#app')
