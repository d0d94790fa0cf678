#!/bin/sh
# The life of a token, with `make run` in another terminal. In the folder of the repository:
#
#   sh examples/curl.sh
set -eu
url=${URL:-http://127.0.0.1:8000}
backend="svc.demo:$(cat var/development/client-secret)"
user="guest-$(date +%s)"
account="{\"user_id\": \"$user\", \"password\": \"seven green bicycles\"}"
json='Content-Type: application/json'

step() { printf '\n\n%s\n' "$1"; }
member() { sed "s/.*\"$1\":\"\([^\"]*\).*/\1/"; }
sign_in() { curl -sS -f -H "$json" -d "$account" "$url/v1/sessions"; }
mint() { curl -sS -X POST -H "Authorization: Bearer $access" "$@" "$url/v1/token"; }
refused() { echo; mint | grep -F "\"code\":\"$1\""; }

step "$user signs up, and signs in."
curl -sS -f -H "$json" -d "$account" "$url/v1/accounts"
session=$(sign_in)
access=$(printf %s "$session" | member access_token)

step 'Who am I on Stream? The app connects with this user_id and api_key.'
curl -sS -f -H "Authorization: Bearer $access" "$url/v1/me"

step 'A token for Stream.'
mint -f

step 'The bare token, for SDKs that use the body unchanged.'
mint -f -H 'Accept: text/plain'

step 'Refresh: the next access token. The refresh token changes too.'
refresh=$(printf %s "$session" | member refresh_token)
session=$(curl -sS -f -d grant_type=refresh_token -d "refresh_token=$refresh" "$url/oauth/token")
access=$(printf %s "$session" | member access_token)
mint -f

step 'The backend signs the user out everywhere. The old sign-in gets no token.'
curl -sS -f -X POST -u "$backend" "$url/v1/users/$user/revocations"
refused sign_in_required

step 'A new sign-in gets one.'
sleep 2 # a sign-in in the second of the revocation is too early
access=$(sign_in | member access_token)
mint -f

step 'The backend bans the user: no token, whatever the sign-in.'
curl -sS -f -X PUT -u "$backend" -H "$json" -d '{"reason": "spam"}' "$url/v1/users/$user/suspension"
refused user_suspended

step 'The backend reinstates the user, who signs in again and gets a token.'
curl -sS -f -X DELETE -u "$backend" "$url/v1/users/$user/suspension"
sleep 2
access=$(sign_in | member access_token)
mint -f

step 'Signed out: the session has ended.'
curl -sS -f -X DELETE -H "Authorization: Bearer $access" "$url/v1/sessions/current"
refused sign_in_required
