# Sign a payment with openssl, send it with curl. Needs: eval "$(./start --env)"
body='{"kind":"collect","amount":1999,"currency":"EUR","instrument":"tok_visa_ok"}'
now=$(date +%s)
idempotency_key=$(openssl rand -hex 16)
digest="sha-256=:$(printf %s "$body" | openssl dgst -sha256 -binary | openssl base64 -A):"
input="(\"@method\" \"@target-uri\" \"content-type\" \"content-digest\" \"idempotency-key\")\
;created=$now;expires=$((now + 300));nonce=\"$(openssl rand -hex 16)\"\
;keyid=\"$CM_KEY_ID\";alg=\"ed25519\";tag=\"countermark-request-v1\""
base=$(mktemp)
printf '"@method": POST\n"@target-uri": %s\n"content-type": application/json\n"content-digest": %s\n"idempotency-key": "%s"\n"@signature-params": %s' \
    "$CM_ORIGIN/v1/payments" "$digest" "$idempotency_key" "$input" > "$base"
signature=$(openssl pkeyutl -sign -rawin -inkey "$CM_KEY" -in "$base" | openssl base64 -A)
rm "$base"
curl -sS -i --cacert "$CM_CACERT" --resolve "$CM_RESOLVE" "$CM_ORIGIN/v1/payments" \
    -H 'Content-Type: application/json' -H "Content-Digest: $digest" \
    -H "Idempotency-Key: \"$idempotency_key\"" -H "Signature-Input: countermark=$input" \
    -H "Signature: countermark=:$signature:" --data-raw "$body"
