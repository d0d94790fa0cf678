package com.example.chat;

// begin request
import android.content.Context;
import android.content.SharedPreferences;
import android.security.keystore.KeyGenParameterSpec;
import android.security.keystore.KeyProperties;
import android.util.Base64;
import android.util.Log;
import com.google.android.gms.tasks.Tasks;
import com.google.firebase.auth.FirebaseAuth;
import com.google.firebase.auth.FirebaseAuthInvalidUserException;
import com.google.firebase.auth.FirebaseUser;
import io.getstream.chat.android.PrivacySettings;
import io.getstream.chat.android.ReadReceipts;
import io.getstream.chat.android.TypingIndicators;
import io.getstream.chat.android.client.ChatClient;
import io.getstream.chat.android.client.events.UnknownEvent;
import io.getstream.chat.android.client.token.TokenProvider;
import io.getstream.chat.android.models.User;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.HttpURLConnection;
import java.net.URL;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.KeyStore;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import javax.crypto.AEADBadTagException;
import javax.crypto.Cipher;
import javax.crypto.KeyGenerator;
import javax.crypto.SecretKey;
import javax.crypto.spec.GCMParameterSpec;
import org.jetbrains.annotations.NotNull;
import org.json.JSONException;
import org.json.JSONObject;
// end request

public final class TokenService {
    private TokenService() {}

    // begin request
    /** A refusal of the service. The message is the `detail` of the response. */
    public static final class ServiceException extends IOException {
        public final int status;
        public final String code;
        public final long retryAfter;

        ServiceException(int status, String code, String detail, long retryAfter) {
            super(detail);
            this.status = status;
            this.code = code;
            this.retryAfter = retryAfter;
        }

        public boolean signInAgain() {
            return Arrays.asList("sign_in_required", "user_suspended", "user_erased", "invalid_grant").contains(code);
        }

        public boolean tryLater() {
            return status < 400 || status == 429 || status >= 500;
        }
    }

    /** What a credential throws if no user is signed in at the identity provider. It is not retried. */
    public static ServiceException signedOut(String detail) {
        return new ServiceException(401, "sign_in_required", detail, 0);
    }

    /** Send one request and return its JSON. It blocks: call it on a worker thread. */
    static JSONObject send(String url, String credential, String body, String type) throws IOException {
        HttpURLConnection connection = (HttpURLConnection) new URL(url).openConnection();
        try {
            connection.setConnectTimeout(3_000);
            connection.setReadTimeout(5_000);
            if (credential != null) {
                connection.setRequestProperty("Authorization", "Bearer " + credential);
            }
            if (body != null) {
                connection.setDoOutput(true); // this makes it a POST
                connection.setRequestProperty("Content-Type", type);
                try (OutputStream out = connection.getOutputStream()) {
                    out.write(body.getBytes(StandardCharsets.UTF_8));
                }
            }
            int status = connection.getResponseCode();
            JSONObject json = read(status < 400 ? connection.getInputStream() : connection.getErrorStream());
            if (status < 300 && json != null) {
                return json;
            }
            json = json != null ? json : new JSONObject(); // the page of a proxy or of a captive portal
            String retryAfter = connection.getHeaderField("Retry-After");
            throw new ServiceException(
                    status,
                    json.optString("code", json.optString("error")),
                    json.optString("detail", json.optString("error_description", url + ": status " + status)),
                    retryAfter != null && retryAfter.matches("\\d{1,9}") ? Long.parseLong(retryAfter) : 0);
        } finally {
            connection.disconnect();
        }
    }

    private static JSONObject read(InputStream stream) throws IOException {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        byte[] buffer = new byte[4096];
        for (int count; stream != null && (count = stream.read(buffer)) > 0; ) {
            bytes.write(buffer, 0, count);
        }
        try {
            return new JSONObject(bytes.size() > 0 ? bytes.toString("UTF-8") : "{}");
        } catch (JSONException notJson) {
            return null;
        }
    }
    // end request

    // begin retry
    /** The credential of the signed-in user. `refresh`: the service has refused the last one. */
    public interface Credential {
        String get(boolean refresh) throws Exception;
    }

    private interface Attempt<T> {
        T run(boolean refresh) throws Exception;
    }

    private static final long FIRST_MINUTE = 60_000; // milliseconds
    private static final long LONGEST_PAUSE = 30_000;

    /**
     * Run attempts until one succeeds, is refused, or no time is left. Any error that is not a refusal is
     * retried, those of the identity provider's SDK too. It blocks, until `stopped` counts down.
     */
    private static <T> T retry(long giveUpAfter, CountDownLatch stopped, Attempt<T> attempt) throws Exception {
        long start = System.nanoTime();
        boolean refresh = false;
        long backOff = 250;
        while (true) {
            try {
                return attempt.run(refresh);
            } catch (InterruptedException error) {
                throw error;
            } catch (Exception error) {
                ServiceException refusal = error instanceof ServiceException ? (ServiceException) error : null;
                boolean mayRefresh =
                        refusal != null && refusal.status == 401 && !refusal.signInAgain() && !refresh;
                if (refusal != null && !refusal.tryLater() && !mayRefresh) {
                    throw error;
                }
                long retryAfter = refusal != null ? refusal.retryAfter * 1_000 : 0;
                long longer = retryAfter + (long) (backOff * ThreadLocalRandom.current().nextDouble(0.5, 1.5));
                long pause = mayRefresh ? 0 : longer;
                long passed = TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - start);
                if (giveUpAfter - passed < pause
                        || stopped.await(Math.min(pause, LONGEST_PAUSE), TimeUnit.MILLISECONDS)) {
                    throw error;
                }
                refresh = mayRefresh;
                backOff = Math.min(backOff * 2, LONGEST_PAUSE / 2);
            }
        }
    }

    /** Ask the service who the signed-in user is on Stream. */
    private static JSONObject getMe(String service, Credential credential) throws Exception {
        return retry(FIRST_MINUTE, new CountDownLatch(1), refresh -> {
            JSONObject me = send(service + "/v1/me", credential.get(refresh), null, null);
            if (me.isNull("user_id") || me.isNull("api_key")) {
                throw new ServiceException(200, "", "No Stream key is active, or another server responds.", 0);
            }
            return me;
        });
    }
    // end retry

    // begin firebase
    /** The ID token of the Firebase user. It blocks, as `loadToken` may. */
    public static String firebaseCredential(boolean refresh) throws Exception {
        FirebaseUser user = FirebaseAuth.getInstance().getCurrentUser();
        if (user == null) {
            throw signedOut("No user is signed in.");
        }
        try {
            return Tasks.await(user.getIdToken(refresh), 5, TimeUnit.SECONDS).getToken();
        } catch (ExecutionException error) {
            if (error.getCause() instanceof FirebaseAuthInvalidUserException) { // disabled or deleted
                throw signedOut(error.getCause().getMessage());
            }
            throw error; // of the network, for example
        }
    }
    // end firebase

    // begin provider
    /**
     * The token provider of one sign-in. It never throws, and returns an empty string on failure, as the
     * SDK demands. After its first token it waits for the service however long it takes, so that requests
     * succeed late instead of never. Create a new one after the next sign-in.
     */
    public static final class ServiceTokenProvider implements TokenProvider {
        private final String service;
        private final String apiKey;
        private final Credential credential;
        private final Consumer<ServiceException> onSignedOut;
        private final CountDownLatch stopped = new CountDownLatch(1);
        private volatile long giveUpAfter = FIRST_MINUTE;

        public ServiceTokenProvider(
                String service, String apiKey, Credential credential, Consumer<ServiceException> onSignedOut) {
            this.service = service;
            this.apiKey = apiKey;
            this.credential = credential;
            this.onSignedOut = onSignedOut;
        }

        /** Call it before you disconnect: a call that waits for the service then ends. */
        public void stop() {
            stopped.countDown();
        }

        @NotNull
        @Override
        public String loadToken() {
            if (stopped.getCount() == 0) {
                return "";
            }
            try {
                String body = new JSONObject().put("api_key", apiKey).toString();
                String url = service + "/v1/token";
                String token = retry(giveUpAfter, stopped, refresh ->
                        send(url, credential.get(refresh), body, "application/json").getString("token"));
                giveUpAfter = Long.MAX_VALUE;
                return token;
            } catch (Exception error) {
                Log.w("chat", "no token", error);
                boolean signedOut = error instanceof ServiceException && ((ServiceException) error).signInAgain();
                if (signedOut && stopped.getCount() > 0) {
                    stop();
                    onSignedOut.accept((ServiceException) error);
                }
                return "";
            }
        }
    }
    // end provider

    // begin connect
    /**
     * The chat of a signed-in user. It starts without a network, from what an earlier start stored. Create a
     * new one after the next sign-in.
     */
    public static final class Chat {
        private final Context context;
        private final String service;
        private final String name;
        private final Credential credential;
        private final Consumer<ServiceException> onSignedOut;
        private final SharedPreferences stored; // not secret
        private ServiceTokenProvider provider;
        private boolean hasLeft = false;
        private boolean isSignedOut = false;

        public Chat(
                Context context,
                String service,
                String name,
                Credential credential,
                Consumer<ServiceException> onSignedOut) {
            this.context = context;
            this.service = service;
            this.name = name;
            this.credential = credential;
            this.onSignedOut = onSignedOut;
            stored = context.getSharedPreferences("chat", Context.MODE_PRIVATE);
        }

        /** Call it in `Application.onCreate` too: a push message may have started the process. */
        public synchronized void start() {
            String userId = stored.getString("user_id", null);
            String apiKey = stored.getString("api_key", null);
            if (apiKey != null) {
                connect(userId, apiKey);
            }
            new Thread(() -> ask(userId, apiKey)).start();
        }

        private void ask(String userId, String apiKey) {
            try {
                JSONObject me = getMe(service, credential);
                String nextId = me.getString("user_id");
                String nextKey = me.getString("api_key");
                if (!nextId.equals(userId) || !nextKey.equals(apiKey)) {
                    rebuild(nextId, nextKey);
                }
            } catch (Exception error) {
                if (error instanceof ServiceException && ((ServiceException) error).signInAgain()) {
                    endedByService((ServiceException) error);
                }
                Log.w("chat", "the stored user and key are not confirmed", error);
            }
        }

        /** Tell the app once, and not after `leave`. */
        private void endedByService(ServiceException error) {
            synchronized (this) {
                if (hasLeft || isSignedOut) {
                    return;
                }
                isSignedOut = true;
            }
            onSignedOut.accept(error);
        }

        private synchronized void rebuild(String userId, String apiKey) {
            if (hasLeft) {
                return;
            }
            stored.edit().putString("user_id", userId).putString("api_key", apiKey).apply();
            if (provider == null) {
                connect(userId, apiKey);
                return;
            }
            provider.stop();
            ChatClient.instance().disconnect(true, false).enqueue(result -> connect(userId, apiKey));
        }

        private synchronized void connect(String userId, String apiKey) {
            if (hasLeft) {
                return;
            }
            ChatClient client = new ChatClient.Builder(apiKey, context).build();
            User user = new User.Builder()
                    .withId(userId)
                    .withName(name)
                    .withPrivacySettings(
                            new PrivacySettings(new TypingIndicators(true), null, new ReadReceipts(false)))
                    .build();
            provider = new ServiceTokenProvider(service, apiKey, credential, this::endedByService);
            watchAccess(client, service, credential, this::endedByService);
            client.connectUser(user, provider).enqueue(result -> {
                if (result.isSuccess()) {
                    Log.i("chat", "connected");
                } else {
                    Log.e("chat", "not connected: " + result.errorOrNull());
                }
            });
        }

        /** Unregister the device, disconnect the user, remove their messages, and let the next one sign in. */
        public synchronized void leave(Runnable thenSignIn) {
            hasLeft = true;
            stored.edit().clear().apply();
            if (provider == null) {
                thenSignIn.run();
                return;
            }
            provider.stop();
            ChatClient.instance().disconnect(true, true).enqueue(result -> thenSignIn.run());
        }
    }
    // end connect

    // begin watch
    /** Leave an open connection when access ends. The event is a hint: only the service's answer counts. */
    public static void watchAccess(
            ChatClient client, String service, Credential credential, Consumer<ServiceException> onSignedOut) {
        client.subscribeFor(new String[] {"tokensvc_check"}, event -> {
            if (event instanceof UnknownEvent && ((UnknownEvent) event).getRawData().containsKey("cid")) {
                return; // another user can send this one, in a channel
            }
            new Thread(() -> leaveIfRefused(service, credential, onSignedOut)).start();
        });
    }

    private static void leaveIfRefused(
            String service, Credential credential, Consumer<ServiceException> onSignedOut) {
        try {
            getMe(service, credential);
        } catch (ServiceException error) {
            if (error.signInAgain()) {
                onSignedOut.accept(error);
            }
        } catch (Exception error) {
            Log.w("chat", "the service cannot be reached", error);
        }
    }
    // end watch

    // begin account
    /** A session with a built-in account. Its methods block; one refresh runs at a time. */
    public static final class AccountSession {
        private static final String REFRESH_TOKEN = "refresh-token";
        private static final String ENDING = "ending"; // of sessions whose sign-out did not reach the service
        private static final int MOST_ENDING = 10; // then the oldest is forgotten

        private final String service;
        private final TokenStore store;
        private String accessToken;
        private long renewAt;

        public AccountSession(String service, TokenStore store) {
            this.service = service;
            this.store = store;
        }

        /** Create an account. It does not sign in. `invitation` may be null. */
        public void signUp(String userId, String password, String invitation) throws Exception {
            JSONObject body = new JSONObject().put("user_id", userId).put("password", password);
            if (invitation != null) {
                body.put("invitation", invitation);
            }
            send(service + "/v1/accounts", null, body.toString(), "application/json");
        }

        public synchronized void signIn(String userId, String password) throws Exception {
            JSONObject body = new JSONObject().put("user_id", userId).put("password", password);
            keep(send(service + "/v1/sessions", null, body.toString(), "application/json"));
        }

        /** Pass `session::credential` to the token provider. */
        public synchronized String credential(boolean refresh) throws Exception {
            if (accessToken != null && !refresh && System.currentTimeMillis() < renewAt) {
                return accessToken;
            }
            String refreshToken = store.get(REFRESH_TOKEN);
            if (refreshToken == null) {
                throw signedOut("No user is signed in.");
            }
            try {
                return keep(postForm("/oauth/token", "refresh_token", refreshToken));
            } catch (ServiceException error) {
                if (error.signInAgain()) {
                    forget();
                }
                throw error;
            }
        }

        /** End the session here, and at the service: without a network, at the next start. */
        public synchronized void signOut() throws Exception {
            String refreshToken = store.get(REFRESH_TOKEN);
            if (refreshToken != null) {
                List<String> tokens = ending();
                tokens.add(refreshToken);
                setEnding(tokens);
            }
            forget();
            finishSignOut();
        }

        /** Call it at each start of the app too. */
        public synchronized void finishSignOut() throws Exception {
            List<String> tokens = ending();
            try {
                while (!tokens.isEmpty()) {
                    postForm("/oauth/revoke", "token", tokens.get(0));
                    tokens.remove(0);
                    setEnding(tokens);
                }
            } catch (IOException error) {
                Log.w("chat", "the session ends at the next start", error);
            }
        }

        private List<String> ending() throws Exception {
            List<String> tokens = new ArrayList<>();
            String stored = store.get(ENDING);
            if (stored != null) {
                Collections.addAll(tokens, stored.split(" "));
            }
            return tokens;
        }

        private void setEnding(List<String> tokens) throws Exception {
            List<String> newest = tokens.subList(Math.max(0, tokens.size() - MOST_ENDING), tokens.size());
            store.set(ENDING, newest.isEmpty() ? null : String.join(" ", newest));
        }

        /** Call it in `onSignedOut`: the service has ended the session. */
        public synchronized void forget() throws Exception {
            accessToken = null;
            store.set(REFRESH_TOKEN, null);
        }

        private String keep(JSONObject grant) throws Exception {
            store.set(REFRESH_TOKEN, grant.getString("refresh_token"));
            renewAt = System.currentTimeMillis() + (grant.getLong("expires_in") - 30) * 1_000;
            accessToken = grant.getString("access_token");
            return accessToken;
        }

        private JSONObject postForm(String path, String name, String token) throws IOException {
            String form = "grant_type=refresh_token&client_id=app&" + name + "="
                    + URLEncoder.encode(token, "UTF-8");
            return send(service + path, null, form, "application/x-www-form-urlencoded");
        }
    }
    // end account

    // begin store
    /** Where a session keeps its tokens, each under a name. */
    public interface TokenStore {
        String get(String name) throws Exception;

        void set(String name, String token) throws Exception;
    }

    /** Encrypts the tokens (AES-GCM) with a key that never leaves the Android Keystore. */
    public static final class KeystoreTokenStore implements TokenStore {
        private static final int IV_SIZE = 12;
        private final SharedPreferences file;

        public KeystoreTokenStore(Context context) {
            file = context.getSharedPreferences("chat-session", Context.MODE_PRIVATE);
        }

        @Override
        public String get(String name) throws GeneralSecurityException, IOException {
            String stored = file.getString(name, null);
            if (stored == null) {
                return null;
            }
            byte[] bytes = Base64.decode(stored, Base64.NO_WRAP);
            Cipher cipher = Cipher.getInstance("AES/GCM/NoPadding");
            cipher.init(Cipher.DECRYPT_MODE, key(), new GCMParameterSpec(128, bytes, 0, IV_SIZE));
            try {
                byte[] token = cipher.doFinal(bytes, IV_SIZE, bytes.length - IV_SIZE);
                return new String(token, StandardCharsets.UTF_8);
            } catch (AEADBadTagException lost) {
                return null; // encrypted by another key: the file is from a backup, or the Keystore was cleared
            }
        }

        @Override
        public void set(String name, String token) throws GeneralSecurityException, IOException {
            SharedPreferences.Editor edit = file.edit();
            if (token == null) {
                edit.remove(name);
            } else {
                Cipher cipher = Cipher.getInstance("AES/GCM/NoPadding");
                cipher.init(Cipher.ENCRYPT_MODE, key()); // the Keystore makes a new IV
                byte[] encrypted = cipher.doFinal(token.getBytes(StandardCharsets.UTF_8));
                byte[] bytes = Arrays.copyOf(cipher.getIV(), IV_SIZE + encrypted.length);
                System.arraycopy(encrypted, 0, bytes, IV_SIZE, encrypted.length);
                edit.putString(name, Base64.encodeToString(bytes, Base64.NO_WRAP));
            }
            if (!edit.commit()) { // not `apply`: the token is used next
                throw new IOException("the token cannot be stored");
            }
        }

        private static SecretKey key() throws GeneralSecurityException, IOException {
            KeyStore keys = KeyStore.getInstance("AndroidKeyStore");
            keys.load(null);
            SecretKey key = (SecretKey) keys.getKey("chat-session", null);
            if (key != null) {
                return key;
            }
            KeyGenerator generator =
                    KeyGenerator.getInstance(KeyProperties.KEY_ALGORITHM_AES, "AndroidKeyStore");
            int purposes = KeyProperties.PURPOSE_ENCRYPT | KeyProperties.PURPOSE_DECRYPT;
            generator.init(new KeyGenParameterSpec.Builder("chat-session", purposes)
                    .setBlockModes(KeyProperties.BLOCK_MODE_GCM)
                    .setEncryptionPaddings(KeyProperties.ENCRYPTION_PADDING_NONE)
                    .build());
            return generator.generateKey();
        }
    }
    // end store

    // begin development
    /** Connect without the service. Only an app with "Disable Auth Checks" accepts this token. */
    public static void connectForDevelopment(ChatClient client, String userId) {
        User user = new User.Builder().withId(userId).build();
        client.connectUser(user, client.devToken(userId)).enqueue();
    }
    // end development
}
