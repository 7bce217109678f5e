// A real OpenID provider (oidc-provider), driven by provider.py: node provider.mjs HOST PORT CLIENTS NODE_MODULES
// Its log-in is a form: the subject, and how it was shown who that is. Consent is given beforehand.
import { createServer } from "node:http";
import { pathToFileURL } from "node:url";

const [host, port, clients, modules] = process.argv.slice(2);
const { default: Provider } = await import(pathToFileURL(`${modules}/oidc-provider/lib/index.js`));
const issuer = `http://${host}:${port}`;
const provider = new Provider(issuer, {
  clients: JSON.parse(clients),
  acrValues: ["urn:chunshui:mfa"],
  claims: { openid: ["sub", "amr"], acr: null, auth_time: null, iss: null, sid: null },
  cookies: { keys: ["of this process alone"] },
  features: { devInteractions: { enabled: false } },
  interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
  findAccount: (_, accountId) => ({ accountId, claims: () => ({ sub: accountId }) }),
  loadExistingGrant: async (ctx) => {
    const grant = new ctx.oidc.provider.Grant({
      clientId: ctx.oidc.client.clientId,
      accountId: ctx.oidc.session.accountId,
    });
    grant.addOIDCScope("openid");
    await grant.save();
    return grant;
  },
  pkce: { required: () => true },
});

const application = provider.callback();
createServer(async (request, response) => {
  if (!request.url.startsWith("/interaction/")) return application(request, response);
  if (request.method !== "POST") {
    response.setHeader("Content-Type", "text/html");
    return response.end('<form method="post"><label>Subject <input name="subject"></label><button>Go</button></form>');
  }
  let body = "";
  for await (const part of request) body += part;
  const given = new URLSearchParams(body);
  if (!given.get("subject")) {
    return provider.interactionFinished(request, response, { error: "access_denied" });
  }
  const login = { accountId: given.get("subject"), acr: given.get("acr") ?? undefined, amr: given.getAll("amr") };
  return provider.interactionFinished(request, response, { login });
}).listen(Number(port), "127.0.0.1", () => console.log(issuer));
