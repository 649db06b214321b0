// The npm package http-message-signatures, asked to sign or to verify one message of our profile.
// `node peer.mjs` reads one JSON object from standard input and writes one to standard output.

import { createPrivateKey, createPublicKey } from "node:crypto";
import { readFileSync } from "node:fs";
import { argv, stdin, stdout } from "node:process";
import { fileURLToPath } from "node:url";

import { createSigner, createVerifier, httpbis } from "http-message-signatures";

const LABEL = "countermark";
const COVERED = ["@method", "@target-uri", "content-type", "content-digest", "idempotency-key"];
const RESPONSE_PART = ["@status", "content-type", "content-digest"];
const SIGNATURE_PART = [`"signature-input";req;key="${LABEL}"`, `"signature";req;key="${LABEL}"`];

const coveredBy = (request) => (request.method === "GET" ? COVERED.slice(0, 2) : COVERED);
const coveredByReceipt = (request) => [
  ...RESPONSE_PART,
  ...coveredBy(request).map((name) => `"${name}";req`),
  ...SIGNATURE_PART,
];

// A message of theirs has `url` and an object of headers.
const theirs = (message) => ({
  ...message,
  url: message.target_uri,
  headers: Object.fromEntries(message.headers),
});

// The header lines that signing added.
const added = (before, after) =>
  Object.entries(after.headers).filter(([name]) => !(name in before.headers));

export async function signRequest({ request, key, created, expires, nonce }) {
  const message = theirs(request);
  const signed = await httpbis.signMessage(
    {
      key: createSigner(createPrivateKey({ key: key.private_jwk, format: "jwk" }), key.alg, key.key_id),
      name: LABEL,
      fields: coveredBy(request),
      params: ["created", "expires", "nonce", "keyid", "alg", "tag"],
      paramValues: {
        created: new Date(created * 1000),
        expires: new Date(expires * 1000),
        nonce,
        tag: "countermark-request-v1",
      },
    },
    message,
  );
  return added(message, signed);
}

export async function signReceipt({ request, response, key, created }) {
  const message = theirs(response);
  const signed = await httpbis.signMessage(
    {
      key: createSigner(createPrivateKey({ key: key.private_jwk, format: "jwk" }), key.alg, key.key_id),
      name: LABEL,
      fields: coveredByReceipt(request),
      params: ["created", "keyid", "alg", "tag"],
      paramValues: { created: new Date(created * 1000), tag: "countermark-receipt-v1" },
    },
    message,
    theirs(request),
  );
  return added(message, signed);
}

export async function verify({ request, response, key }) {
  const verifier = createVerifier(createPublicKey({ key: key.public_jwk, format: "jwk" }), key.alg);
  const config = {
    keyLookup: async (parameters) =>
      parameters.keyid === key.key_id ? { id: key.key_id, algs: [key.alg], verify: verifier } : null,
    requiredFields: response ? RESPONSE_PART : coveredBy(request),
    tolerance: 5,
    all: true,
  };
  return response
    ? httpbis.verifyMessage(config, theirs(response), theirs(request))
    : httpbis.verifyMessage(config, theirs(request));
}

const TASKS = { sign_request: signRequest, sign_receipt: signReceipt, verify };

if (argv[1] === fileURLToPath(import.meta.url)) {
  const task = JSON.parse(readFileSync(stdin.fd, "utf8"));
  stdout.write(JSON.stringify({ result: await TASKS[task.do](task) }));
}
