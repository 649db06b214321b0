// Write vectors.json: requests and receipts of our profile, signed by the npm package. See README.md.
// The keys are those of ../signing/vectors.json: public TEST keys, never secrets.

import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";

import { signReceipt, signRequest } from "./peer.mjs";

const ours = JSON.parse(readFileSync(new URL("../signing/vectors.json", import.meta.url), "utf8"));
const NOW = 1790000000;
const BODY = '{"amount_minor":1999,"currency":"EUR","kind":"collect"}';
const ANSWER = '{"id":"pay_eu_01","object":"payment","status":"accepted"}';

const digest = (body) => `sha-256=:${createHash("sha256").update(body).digest("base64")}:`;
const base64 = (text) => Buffer.from(text).toString("base64");

function keyOf(name) {
  const { alg, key_id, public_jwk, private_key_hex_TEST_ONLY: hex } = ours.keys[name];
  const { kty, crv, x, y } = public_jwk;
  const d = Buffer.from(hex, "hex").toString("base64url");
  return { name, alg, key_id, private_jwk: { kty, crv, x, ...(y ? { y } : {}), d } };
}

const unsigned = {
  post: {
    method: "POST",
    target_uri: `${ours.origin}/v1/payments`,
    headers: [
      ["Content-Type", "application/json"],
      ["Idempotency-Key", '"order-2041-attempt-1"'],
      ["Content-Digest", digest(BODY)],
    ],
    body_base64: base64(BODY),
  },
  get: {
    method: "GET",
    target_uri: `${ours.origin}/v1/payments?created_gte=1&limit=2.5`,
    headers: [["Accept", "application/json"]],
    body_base64: null,
  },
};

const vectors = [];
for (const alg of ["ed25519", "p256"]) {
  for (const [kind, message] of Object.entries(unsigned)) {
    const merchant = keyOf(`merchant-${alg}`);
    const gateway = keyOf(`gateway-${alg}`);
    const fields = await signRequest({
      request: message,
      key: merchant,
      created: NOW,
      expires: NOW + 300,
      nonce: "Q291bnRlcm1hcmstdGVzdC1ub25jZQ",
    });
    const request = { ...message, headers: [...message.headers, ...fields] };
    const answer = {
      status: kind === "post" ? 202 : 200,
      headers: [["Content-Type", "application/json"], ["Content-Digest", digest(ANSWER)]],
      body_base64: base64(ANSWER),
    };
    const receipt = await signReceipt({ request, response: answer, key: gateway, created: NOW + 1 });
    vectors.push({
      name: `${kind}-${alg}`,
      now: NOW + 2,
      merchant_key: merchant.name,
      gateway_key: gateway.name,
      request,
      response: { ...answer, headers: [...answer.headers, ...receipt] },
    });
  }
}

const source = `npm http-message-signatures 1.0.6, Node ${process.versions.node}; keys of ../signing/vectors.json`;
writeFileSync(new URL("vectors.json", import.meta.url), `${JSON.stringify({ source, vectors }, null, 1)}\n`);
