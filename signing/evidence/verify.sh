#!/bin/sh
# Verifies the evidence in this folder with nothing but sh, openssl 3 and coreutils; README says what is checked, and what cannot be.
# Usage, in the folder: sh verify.sh GATEWAY[,GATEWAY] LOG[,LOG] [WITNESS ...]
# Each argument is the SHA-256 of a DER public key in hexadecimal; take it from the contract, never from this folder.
set -eu; LC_ALL=C; export LC_ALL; unset CDPATH; exec 3>&1
[ $# -ge 2 ] || { echo 'usage, in the folder: sh verify.sh GATEWAY[,GATEWAY] LOG[,LOG] [WITNESS ...]' >&2; exit 2; }
fail() { [ -e "$t/failed" ] || printf 'FAILED: %s\n' "$1" >&3; : >"$t/failed"; exit 1; }
t=$(mktemp -d); trap 'r=$?; [ $r = 0 ] || { r=1; (fail "a file is missing or unreadable") || :; }; rm -rf "$t"; exit $r' EXIT; trap 'exit 1' HUP INT TERM
hex() { od -An -v -tx1 | tr -d ' \n'; }; bin() { tr a-f A-F | basenc --base16 -d; }; sha() { sha256sum | cut -c1-64; }; b64() { basenc --base64 -w0; }
url() { printf %s "$1" | cut -c"$2" | bin | basenc --base64url | tr -d '=\n'; }; utc() { date -u -d "@$1" +%Y-%m-%dT%H:%M:%SZ; }; line() { IFS= read -r "$1" || :; }
same() { [ "$(sha)" = "$(sha <"$1")" ] || fail "${2:-$1} is not what the other files make it"; }; holds() { case $1 in *"$2"*) ;; *) fail "$3 lacks $2" ;; esac; }
number() { for x; do case $x in '' | *[!0-9]* | 0?* | ????????????????*) fail "not a number: $x" ;; esac; done; }; word() { case $1 in '' | *[!A-Za-z0-9_-]*) fail "not a name: $1" ;; esac; }
only() { g=$1 f=$2; shift 2; [ "$(printf %s "$g" | tr -cd ';' | wc -c)" = $# ] || fail "$f has other parameters"; for x; do holds "$g;" "$x" "$f"; done; }
key() { # FILE: sets alg, raw, id (RFC 7638) and fp (SHA-256 of DER); the file holds one key in its one form, and nothing beside it
  openssl pkey -pubin -in "$1" -pubout 2>"$t/e" | same "$1"; openssl pkey -pubin -in "$1" -outform DER >"$t/der"; fp=$(sha <"$t/der"); raw=$(hex <"$t/der")
  case ${#raw}:$raw in 88:302a300506032b6570032100*) alg=ed25519 raw=${raw#*032100} j='"crv":"Ed25519","kty":"OKP"' y= ;;
    182:3059301306072a8648ce3d020106082a8648ce3d03010703420004*) raw=${raw#*03420004} alg=ecdsa-p256-sha256 j='"crv":"P-256","kty":"EC"' y=",\"y\":\"$(url "${raw#*03420004}" 65-128)\"" ;;
    *) fail "$1 is no key of Ed25519 or P-256" ;; esac; id=$(url "$(printf '{%s,"x":"%s"%s}' "$j" "$(url "$raw" 1-64)" "$y" | sha)" 1-64); }
int() { i=$1; while [ "${i#00?}" != "$i" ]; do i=${i#00}; done; case $i in [89a-f]*) i=00$i ;; esac; printf '02%02x%s' $((${#i} / 2)) "$i"; }
sig() { # KEY SIGNATURE CONTENT: the key signed exactly this content; r and s of ECDSA are put into DER for openssl
  key "$1"; h=$(hex <"$2"); [ ${#h} = 128 ] || fail "$2 has not 64 bytes"; if [ $alg = ed25519 ]; then o=; else o='-digest sha256'
    h=$(int "$(printf %s "$h" | cut -c-64)")$(int "$(printf %s "$h" | cut -c65-)"); h=$(printf '30%02x%s' $((${#h} / 2)) "$h"); fi; printf %s "$h" | bin >"$t/sig"
  openssl pkeyutl -verify -pubin -inkey "$1" -rawin $o -in "$3" -sigfile "$t/sig" >"$t/e" 2>&1 || fail "$2 is no signature by $1"; }
record() { # FOLDER KEY KIND: request, answer and entry belong together, are signed, and stand in the log; sets what is printed below
  { line m; line u; line m; line m; line i; line p; } <"$1/request.base"; u=${u#*https://} i=${i#*'": '} p=${p#*'": '} q=${p#*idempotency-key?)}; d=$(sha <"$1/request.body" | bin | b64)
  printf '"@method": POST\n"@target-uri": https://%s\n"content-type": application/json\n"content-digest": sha-256=:%s:\n"idempotency-key": %s\n' "$u" "$d" "$i" >"$t/b"
  { cat "$t/b"; printf '"@signature-params": ("@method" "@target-uri" "content-type" "content-digest" "idempotency-key")%s' "$q"; } | same "$1/request.base"
  sig "$2" "$1/request.sig" "$1/request.base"; by=$id; only "$q" "$1/request.base" ';created=' ';expires=' ';nonce="' ";keyid=\"$id\";" ";alg=\"$alg\";" ';tag="countermark-request-v1";'
  s=countermark=:$(b64 <"$1/request.sig"):; [ "$(head -n 1 "$1/request.head")" = "POST /${u#*/}" ] || fail "$1/request.head has another target"
  while IFS= read -r l; do n=$(printf %s "${l%%:*}" | tr A-Z a-z); case $n in content-digest | content-type | idempotency-key | signature | signature-input) printf '"%s": %s\n' "$n" "${l#*: }" ;;
    content-encoding | trailer | *@*) fail "$1/request.head has $n" ;; esac; done <"$1/request.head" >"$t/h"; sort "$t/h" >"$t/head"
  { tail -n 3 "$t/b"; printf '"signature": %s\n"signature-input": countermark=%s\n' "$s" "$p"; } | sort | same "$t/head" "$1/request.head"
  { line st; line ct; } <"$1/receipt.base"; st=${st#*'": '}; g=$(tail -n 1 "$1/receipt.base"); z=${g#*\"signature\"\;req\;key=\"countermark\"\)}; case $st in 2[0-9][0-9]) ;; *) fail "$1/receipt.base has status $st" ;; esac
  { printf '"@status": %s\n"content-type": %s\n"content-digest": sha-256=:%s:\n' "$st" "${ct#*'": '}" "$(sha <"$1/response.body" | bin | b64)"; while IFS= read -r l; do printf '%s;req: %s\n' "${l%%: *}" "${l#*: }"; done <"$t/b"
    printf '"signature-input";req;key="countermark": %s\n"signature";req;key="countermark": %s\n"@signature-params": ("@status" "content-type" "content-digest" "@method";req "@target-uri";req ' "$p" "${s#*=}"
    printf '"content-type";req "content-digest";req "idempotency-key";req "signature-input";req;key="countermark" "signature";req;key="countermark")%s' "$z"; } | same "$1/receipt.base"
  gw=; for k in keys/gateway*.pem; do key "$k"; case "$z;" in *";keyid=\"$id\";"*) sig "$k" "$1/receipt.sig" "$1/receipt.base"; gw=$fp; only "$z" "$1/receipt.base" ';created=' ";keyid=\"$id\";" ";alg=\"$alg\";" ';tag="countermark-receipt-v1";' ;; esac; done
  [ -n "$gw" ] || fail "the key of $1/receipt.sig is not trusted"; { line m; line m; line subject; line merchant; line m; line m; line at; } <"$1/entry"; subject=${subject#*: } merchant=${merchant#*: } at=${at#*: }; word "$subject"; word "$merchant"
  { printf 'countermark-evidence-v1\nkind: %s\nsubject: %s\nmerchant: %s\nkey-id: %s\ndecision: accepted\ndecided-at: %s\n' "$3" "$subject" "$merchant" "$by" "$at"
    for x in request-head=.head request-body=.body request-base=.base request-signature=.sig response-body=.body receipt-base=.base receipt-signature=.sig statement= statement-signature=.sig; do
      n=$1/${x%%[-=]*}${x#*=}; [ -f "$n" ] && n=$(sha <"$n") || n=-; printf '%s-sha256: %s\n' "${x%=*}" "$n"; done; } | same "$1/entry"
  c=${q##*;created=} c=${c%%;*} x=${q##*;expires=} x=${x%%;*} r=${z##*;created=} r=${r%%;*} y=$x; number "$c" "$y" "$r"; case $at in *[!0-9TZ:.-]*) fail "$1/entry has no time" ;; esac; e=$(date -u -d "$at" +%s)
  [ "$e" -ge $((c - 30)) ] && [ "$e" -le $((y + 90)) ] && [ "$e" -ge $((r - 300)) ] && [ "$e" -le $((r + 300)) ] || fail "the times in $1 contradict each other"
  { line index; line m; index=${index#index }; number "$index"; [ "$m" = "size $size" ] && [ "$index" -lt "$size" ] || fail "$1/proof is of another tree"; a=$index b=$((size - 1)) v=$({ printf '\000'; cat "$1/entry"; } | sha)
    while IFS= read -r l; do case ${#l}$l in 64*[!0-9a-f]*) b=0 ;; 64*) ;; *) b=0 ;; esac; [ $b != 0 ] || fail "$1/proof is malformed"; n=$((a & 1 || a == b)); [ $n = 1 ] && v=$l$v || v=$v$l; v=$(printf '01%s' "$v" | bin | sha)
      while [ $n = 1 ] && [ $((a & 1)) = 0 ] && [ $a != 0 ]; do a=$((a >> 1)) b=$((b >> 1)); done; a=$((a >> 1)) b=$((b >> 1)); done; [ "$b $v" = "0 $root" ] || fail "$1/entry is not in the log"; } <"$1/proof"; }
signed() { # KEY BYTE: finds this key's one signature line in the checkpoint; sets name, and held: what the line holds, in hexadecimal
  key "$1"; held=; tail -n +5 checkpoint >"$t/lines"; while IFS= read -r l; do l=${l#????}; n=${l% *}; x=$(printf %s "${l##* }" | basenc --base64 -d | hex); i=$({ printf "%s\n$2" "$n"; printf %s "$raw" | bin; } | sha | cut -c1-8)
    case $x in "$i"*) [ -z "$held" ] || fail "$1 signed twice"; held=${x#????????} name=$n ;; esac; done <"$t/lines"; }
for f in * .[!.]* ..?* */* */.[!.]* */..?* */*/*; do case $f in SHA256SUMS | SHA256SUMS.sig) ;; *) if [ -f "$f" ] && [ ! -L "$f" ]; then sha256sum -- "$f"; else [ -d "$f" ] || [ ! -e "$f" ] || fail "$f is no file"; fi ;; esac; done >"$t/list"
sort -k 2 "$t/list" | same SHA256SUMS; [ "$({ head -n 3 checkpoint; cat history */entry */request.base; } | tr -d '\n\40-\176' | wc -c)" = 0 ] || fail 'control characters'; gateways=$(printf ,%s, "$1" | tr A-F a-f) logs=$(printf ,%s, "$2" | tr A-F a-f); shift 2; for k in keys/gateway*.pem; do key "$k"; holds "$gateways" ",$fp," "the list of trusted gateway keys"; done; { echo countermark-evidence-bundle-v1; cat SHA256SUMS; } >"$t/m"; sig keys/gateway.pem SHA256SUMS.sig "$t/m"
printf 'proven: the gateway put together exactly these files; by gateway key %s\n' "$fp"; { line origin; line size; line root; line m; } <checkpoint; number "$size"; root=$(printf %s "$root" | basenc --base64 -d | hex); head -n 3 checkpoint >"$t/body"
signed keys/log.pem '\001'; holds "$logs" ",$fp," "the list of trusted log keys"; [ "$m$name ${#held}" = "$origin 128" ] || fail 'the checkpoint is not signed by the log'; printf %s "$held" | bin >"$t/s"; sig keys/log.pem "$t/s" "$t/body"; L=$fp
record payment keys/merchant.pem payment; P=$subject M=$merchant U=$index E=$e S= N=1; exec 4<history; q="the gateway's clock"
printf "proven: the request in payment/ was signed: POST https://%s; by merchant key %s; at %s by the merchant's clock\n" "$u" "$by" "$(utc "$c")"; printf 'proven: the gateway answered it with status %s and payment/response.body; by gateway key %s; at %s by %s\n' "$st" "$gw" "$(utc "$r")" "$q"
printf 'proven: payment %s was accepted for merchant %s, as entry %s of %s in the log %s; by log key %s; at %s by %s\n' "$P" "$M" "$U" "$size" "$origin" "$L" "$at" "$q"
while K=keys/merchant$S.pem D=registration$S; [ -f "$K" ]; do N=$((N + 1)) V=keys/merchant-$((N)).pem; [ -f "$V" ] || V=$K; key "$K"; O=$id A=$alg; record "$D" "$V" key-registration; for x in "$O" "$M"; do holds "$(cat "$D/response.body")" "\"$x\"" "$D/response.body"; done
  [ "$subject $merchant" = "$O $M" ] || fail "$D is of another key or merchant"; [ "$index" -lt "$U" ] || fail "the key was used before $D"; if [ -f "$D/statement" ]; then x=$(tail -n 1 "$D/statement"); x=${x#*: }; number "$x"; sig "$K" "$D/statement.sig" "$D/statement"
    printf 'countermark-key-registration-v1\nmerchant: %s\nkey-id: %s\nalg: %s\nissued-at: %s\n' "$M" "$O" "$A" "$x" | same "$D/statement"; [ "$e" -ge $((x - 30)) ] && [ "$e" -le $((x + 3660)) ] || fail "the times in $D contradict each other"; else [ "$V" = "$K" ] || fail "$D/statement is missing"; fi
  { [ -z "$S" ] || { line m; echo; }; line m; line m; line m; line m; line R; line C; line m; R=${R#*: } C=${C#*: }; printf 'countermark-key-history-v1\nkey-id: %s\nmerchant: %s\nregistered-at-index: %s\nrevoked-at-index: %s\ncompromised-since: %s\ntree-size: %s\n' "$O" "$M" "$index" "$R" "$C" "$size"; } <&4 >>"$t/y"
  [ "$R" = none ] || { number "$R"; { [ "$R" -gt "$U" ] && [ "$R" -lt "$size" ]; } || fail "key $O was revoked at entry $R, before its use at entry $U"; R="at entry $R"; }; printf 'proven: key %s was registered for merchant %s, as entry %s; by merchant key %s and gateway key %s; at %s by %s\n' "$O" "$M" "$index" "$by" "$gw" "$at" "the gateway's clock"
  printf "not proven: that key %s was not revoked before entry %s; the gateway's word for its revocation: %s\n" "$O" "$U" "$R"; [ "$C" = none ] || printf 'not proven: that others had key %s since %s, as is claimed\n' "$O" "$C"; S=-$N U=$index; done; same history <"$t/y"
for w; do w=$(printf %s "$w" | tr A-F a-f) f=; for k in keys/witness-*.pem; do [ -f "$k" ] || continue; key "$k"; [ "$fp" = "$w" ] || continue; signed "$k" '\004'; [ -n "$held" ] || continue; case ${#held}$held in 144[0-7]*) ;; *) fail "the cosignature of $k is malformed" ;; esac; x=$((0x$(printf %s "$held" | cut -c-16)))
  { printf 'cosignature/v1\ntime %s\n' "$x"; cat "$t/body"; } >"$t/c"; printf %s "$held" | cut -c17- | bin >"$t/s"; sig "$k" "$t/s" "$t/c"; { [ "$x" -ge $((E - 300)) ] && [ "$x" -le 253402300799 ]; } || fail 'a witness saw the log before the payment'; f=1
  printf "proven: the log with these entries existed; by witness %s, key %s; at %s by the witness's clock\n" "$name" "$w" "$(utc "$x")"; done; [ -n "$f" ] || printf 'not proven: that the witness with key %s saw this log\n' "$w"; done
[ $# != 0 ] || echo 'not proven: that anybody but the gateway saw this log: no witness is trusted'; printf 'not proven: which company or person stands behind merchant %s\nnot proven: what a bank or card network did afterwards\n' "$M"
