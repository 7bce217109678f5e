import 'swagger-ui-dist/swagger-ui.css'
import SwaggerUI from 'swagger-ui-dist/swagger-ui-es-bundle.js'

// No validator badge: it would tell a site outside which installation this is.
SwaggerUI({ url: '/openapi.json', dom_id: '#app', deepLinking: true, validatorUrl: null })
