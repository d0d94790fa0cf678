package com.example.chat

// begin request
import android.content.Context
import android.security.keystore.KeyGenParameterSpec
import android.security.keystore.KeyProperties
import android.util.Base64
import android.util.Log
import com.google.android.gms.tasks.Tasks
import com.google.firebase.auth.FirebaseAuth
import com.google.firebase.auth.FirebaseAuthInvalidUserException
import io.getstream.chat.android.PrivacySettings
import io.getstream.chat.android.ReadReceipts
import io.getstream.chat.android.TypingIndicators
import io.getstream.chat.android.client.ChatClient
import io.getstream.chat.android.client.events.UnknownEvent
import io.getstream.chat.android.client.token.TokenProvider
import io.getstream.chat.android.models.User
import io.getstream.result.Result
import java.io.IOException
import java.net.HttpURLConnection
import java.net.URL
import java.net.URLEncoder
import java.security.KeyStore
import java.util.concurrent.CountDownLatch
import java.util.concurrent.ExecutionException
import java.util.concurrent.TimeUnit
import javax.crypto.AEADBadTagException
import javax.crypto.Cipher
import javax.crypto.KeyGenerator
import javax.crypto.SecretKey
import javax.crypto.spec.GCMParameterSpec
import kotlin.concurrent.thread
import kotlin.math.min
import kotlin.random.Random
import org.json.JSONObject
// end request

// begin request
/** A refusal of the service. The message is the `detail` of the response. */
class ServiceException(val status: Int, val code: String, detail: String, val retryAfter: Long) :
    IOException(detail) {
    val signInAgain get() = code in setOf("sign_in_required", "user_suspended", "user_erased", "invalid_grant")
    val tryLater get() = status < 400 || status == 429 || status >= 500
}

/** What a credential throws if no user is signed in at the identity provider. It is not retried. */
fun signedOut(detail: String = "No user is signed in.") = ServiceException(401, "sign_in_required", detail, 0)

/** Send one request and return its JSON. It blocks: call it on a worker thread. */
fun send(
    url: String,
    credential: String? = null,
    body: String? = null,
    type: String = "application/json",
): JSONObject {
    val connection = URL(url).openConnection() as HttpURLConnection
    try {
        connection.connectTimeout = 3_000
        connection.readTimeout = 5_000
        if (credential != null) connection.setRequestProperty("Authorization", "Bearer $credential")
        if (body != null) {
            connection.doOutput = true // this makes it a POST
            connection.setRequestProperty("Content-Type", type)
            connection.outputStream.use { it.write(body.toByteArray()) }
        }
        val status = connection.responseCode
        val stream = if (status < 400) connection.inputStream else connection.errorStream
        val text = stream?.bufferedReader()?.use { it.readText() }.orEmpty()
        val parsed = runCatching { JSONObject(text.ifBlank { "{}" }) }
        val json = parsed.getOrDefault(JSONObject())
        if (status in 200..299 && parsed.isSuccess) return json // else the page of a captive portal
        throw ServiceException(
            status,
            json.optString("code", json.optString("error")),
            json.optString("detail", json.optString("error_description", "$url: status $status")),
            connection.getHeaderField("Retry-After")?.toLongOrNull()?.coerceIn(0, 3_600) ?: 0,
        )
    } finally {
        connection.disconnect()
    }
}
// end request

// begin retry
/** The credential of the signed-in user. `refresh`: the service has refused the last one. */
typealias Credential = (refresh: Boolean) -> String

private const val LONGEST_PAUSE = 30_000L // milliseconds

/**
 * Run attempts until one succeeds, is refused, or no time is left. Any error that is not a refusal is
 * retried, those of the identity provider's SDK too. It blocks, until `stopped` counts down.
 */
fun <T> retry(
    giveUpAfter: Long = 60_000, // milliseconds
    stopped: CountDownLatch = CountDownLatch(1),
    attempt: (refresh: Boolean) -> T,
): T {
    val start = System.nanoTime()
    var refresh = false
    var backOff = 250L
    while (true) {
        try {
            return attempt(refresh)
        } catch (error: InterruptedException) {
            throw error
        } catch (error: Exception) {
            val refusal = error as? ServiceException
            val mayRefresh = refusal != null && refusal.status == 401 && !refusal.signInAgain && !refresh
            if (refusal != null && !refusal.tryLater && !mayRefresh) throw error
            val longer = (backOff * Random.nextDouble(0.5, 1.5)).toLong() + (refusal?.retryAfter ?: 0) * 1_000
            val pause = if (mayRefresh) 0 else longer
            val passed = TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - start)
            if (giveUpAfter - passed < pause) throw error
            if (stopped.await(min(pause, LONGEST_PAUSE), TimeUnit.MILLISECONDS)) throw error
            refresh = mayRefresh
            backOff = min(backOff * 2, LONGEST_PAUSE / 2)
        }
    }
}

/** Ask the service who the signed-in user is on Stream. */
fun getMe(service: String, credential: Credential): JSONObject = retry { refresh ->
    val me = send("$service/v1/me", credential(refresh))
    val isComplete = !me.isNull("user_id") && !me.isNull("api_key")
    if (!isComplete) throw ServiceException(200, "", "No Stream key is active, or another server responds.", 0)
    me
}
// end retry

// begin provider
/**
 * The token provider of one sign-in. It never throws, and returns an empty string on failure, as the
 * SDK demands. After its first token it waits for the service however long it takes, so that requests
 * succeed late instead of never. Create a new one after the next sign-in.
 */
class ServiceTokenProvider(
    private val service: String,
    private val apiKey: String,
    private val credential: Credential,
    private val onSignedOut: (ServiceException) -> Unit,
    @Volatile private var giveUpAfter: Long = 60_000, // milliseconds, of the first connection
) : TokenProvider {
    private val stopped = CountDownLatch(1)

    /** Call it before you disconnect: a call that waits for the service then ends. */
    fun stop() = stopped.countDown()

    override fun loadToken(): String {
        if (stopped.count == 0L) return ""
        try {
            val body = JSONObject().put("api_key", apiKey).toString()
            val token = retry(giveUpAfter, stopped) { refresh ->
                send("$service/v1/token", credential(refresh), body).getString("token")
            }
            giveUpAfter = Long.MAX_VALUE
            return token
        } catch (error: Exception) {
            Log.w("chat", "no token", error)
            if (error is ServiceException && error.signInAgain && stopped.count > 0) {
                stop()
                onSignedOut(error)
            }
            return ""
        }
    }
}
// end provider

// begin connect
/**
 * The chat of a signed-in user. It starts without a network, from what an earlier start stored. Create a
 * new one after the next sign-in.
 */
class Chat(
    private val context: Context,
    private val service: String,
    private val name: String,
    private val credential: Credential,
    private val onSignedOut: (ServiceException) -> Unit,
) {
    private val stored = context.getSharedPreferences("chat", Context.MODE_PRIVATE) // not secret
    private var provider: ServiceTokenProvider? = null
    private var hasLeft = false
    private var isSignedOut = false

    /** Call it in `Application.onCreate` too: a push message may have started the process. */
    @Synchronized
    fun start() {
        val userId = stored.getString("user_id", null)
        val apiKey = stored.getString("api_key", null)
        if (userId != null && apiKey != null) connect(userId, apiKey)
        thread { ask(userId, apiKey) }
    }

    private fun ask(userId: String?, apiKey: String?) {
        try {
            val me = getMe(service, credential)
            val (nextId, nextKey) = me.getString("user_id") to me.getString("api_key")
            if (nextId != userId || nextKey != apiKey) rebuild(nextId, nextKey)
        } catch (error: Exception) {
            if (error is ServiceException && error.signInAgain) endedByService(error)
            Log.w("chat", "the stored user and key are not confirmed", error)
        }
    }

    /** Tell the app once, and not after `leave`. */
    private fun endedByService(error: ServiceException) {
        synchronized(this) {
            if (hasLeft || isSignedOut) return
            isSignedOut = true
        }
        onSignedOut(error)
    }

    @Synchronized
    private fun rebuild(userId: String, apiKey: String) {
        if (hasLeft) return
        stored.edit().putString("user_id", userId).putString("api_key", apiKey).apply()
        val previous = provider ?: return connect(userId, apiKey)
        previous.stop()
        ChatClient.instance().disconnect(flushPersistence = true).enqueue { connect(userId, apiKey) }
    }

    @Synchronized
    private fun connect(userId: String, apiKey: String) {
        if (hasLeft) return
        val client = ChatClient.Builder(apiKey, context).build()
        val user = User(
            id = userId,
            name = name,
            privacySettings = PrivacySettings(
                typingIndicators = TypingIndicators(enabled = true),
                readReceipts = ReadReceipts(enabled = false),
            ),
        )
        val tokens = ServiceTokenProvider(service, apiKey, credential, this::endedByService)
        provider = tokens
        watchAccess(client, service, credential, this::endedByService)
        client.connectUser(user, tokens).enqueue { result ->
            when (result) {
                is Result.Success -> Log.i("chat", "connected as ${result.value.user.id}")
                is Result.Failure -> Log.e("chat", "not connected: ${result.value.message}")
            }
        }
    }

    /** Unregister the device, disconnect the user, remove their stored messages, and let the next one sign in. */
    @Synchronized
    fun leave(thenSignIn: () -> Unit) {
        hasLeft = true
        stored.edit().clear().apply()
        val left = provider ?: return thenSignIn()
        left.stop()
        ChatClient.instance().disconnect(flushPersistence = true, deleteDevice = true).enqueue { thenSignIn() }
    }
}
// end connect

// begin watch
/** Leave an open connection when access ends. The event is a hint: only the service's answer counts. */
fun watchAccess(
    client: ChatClient,
    service: String,
    credential: Credential,
    onSignedOut: (ServiceException) -> Unit,
) {
    client.subscribeFor("tokensvc_check") { event ->
        val isOfChannel = event is UnknownEvent && "cid" in event.rawData.keys // another user can send it
        if (!isOfChannel) thread { leaveIfRefused(service, credential, onSignedOut) }
    }
}

private fun leaveIfRefused(
    service: String,
    credential: Credential,
    onSignedOut: (ServiceException) -> Unit,
) {
    try {
        getMe(service, credential)
    } catch (error: ServiceException) {
        if (error.signInAgain) onSignedOut(error)
    } catch (error: Exception) {
        Log.w("chat", "the service cannot be reached", error)
    }
}
// end watch

// begin firebase
/** The ID token of the Firebase user. It blocks, as `loadToken` may. */
fun firebaseCredential(refresh: Boolean): String {
    val user = FirebaseAuth.getInstance().currentUser ?: throw signedOut()
    try {
        return checkNotNull(Tasks.await(user.getIdToken(refresh), 5, TimeUnit.SECONDS).token)
    } catch (error: ExecutionException) {
        val cause = error.cause
        if (cause is FirebaseAuthInvalidUserException) throw signedOut("${cause.message}") // disabled, deleted
        throw error // of the network, for example
    }
}
// end firebase

// begin account
private const val REFRESH_TOKEN = "refresh-token"
private const val ENDING = "ending" // the tokens of sessions whose sign-out did not reach the service
private const val MOST_ENDING = 10 // then the oldest is forgotten

/** A session with a built-in account. Its methods block; one refresh runs at a time. */
class AccountSession(private val service: String, private val store: TokenStore) {
    private var accessToken: String? = null
    private var renewAt = 0L

    /** Create an account. It does not sign in. */
    fun signUp(userId: String, password: String, invitation: String? = null) {
        val body = JSONObject().put("user_id", userId).put("password", password)
        if (invitation != null) body.put("invitation", invitation)
        send("$service/v1/accounts", body = body.toString())
    }

    @Synchronized
    fun signIn(userId: String, password: String) {
        val body = JSONObject().put("user_id", userId).put("password", password)
        keep(send("$service/v1/sessions", body = body.toString()))
    }

    /** Pass `session::credential` to the token provider. */
    @Synchronized
    fun credential(refresh: Boolean): String {
        val current = accessToken
        if (current != null && !refresh && System.currentTimeMillis() < renewAt) return current
        val refreshToken = store[REFRESH_TOKEN] ?: throw signedOut()
        try {
            return keep(postForm("/oauth/token", "refresh_token", refreshToken))
        } catch (error: ServiceException) {
            if (error.signInAgain) forget()
            throw error
        }
    }

    /** End the session here, and at the service: without a network, at the next start. */
    @Synchronized
    fun signOut() {
        store[REFRESH_TOKEN]?.let { setEnding(ending() + it) }
        forget()
        finishSignOut()
    }

    /** Call it at each start of the app too. */
    @Synchronized
    fun finishSignOut() {
        try {
            for (token in ending()) {
                postForm("/oauth/revoke", "token", token)
                setEnding(ending() - token)
            }
        } catch (error: IOException) {
            Log.w("chat", "the session ends at the next start", error)
        }
    }

    private fun ending() = store[ENDING]?.split(' ').orEmpty()

    private fun setEnding(tokens: List<String>) {
        store[ENDING] = tokens.takeLast(MOST_ENDING).joinToString(" ").ifEmpty { null }
    }

    /** Call it in `onSignedOut`: the service has ended the session. */
    @Synchronized
    fun forget() {
        accessToken = null
        store[REFRESH_TOKEN] = null
    }

    private fun keep(grant: JSONObject): String {
        store[REFRESH_TOKEN] = grant.getString("refresh_token")
        renewAt = System.currentTimeMillis() + (grant.getLong("expires_in") - 30) * 1_000
        return grant.getString("access_token").also { accessToken = it }
    }

    private fun postForm(path: String, name: String, token: String): JSONObject {
        val form = "grant_type=refresh_token&client_id=app&$name=" + URLEncoder.encode(token, "UTF-8")
        return send(service + path, body = form, type = "application/x-www-form-urlencoded")
    }
}
// end account

// begin store
/** Where a session keeps its tokens, each under a name. */
interface TokenStore {
    operator fun get(name: String): String?

    operator fun set(name: String, token: String?)
}

/** Encrypts the tokens (AES-GCM) with a key that never leaves the Android Keystore. */
class KeystoreTokenStore(context: Context) : TokenStore {
    private val file = context.getSharedPreferences("chat-session", Context.MODE_PRIVATE)

    override fun get(name: String): String? {
        val bytes = Base64.decode(file.getString(name, null) ?: return null, Base64.NO_WRAP)
        val cipher = Cipher.getInstance("AES/GCM/NoPadding")
        cipher.init(Cipher.DECRYPT_MODE, key(), GCMParameterSpec(128, bytes, 0, IV_SIZE))
        return try {
            String(cipher.doFinal(bytes, IV_SIZE, bytes.size - IV_SIZE))
        } catch (lost: AEADBadTagException) {
            null // encrypted by another key: the file is from a backup, or the Keystore was cleared
        }
    }

    override fun set(name: String, token: String?) {
        val edit = file.edit()
        if (token == null) {
            edit.remove(name)
        } else {
            val cipher = Cipher.getInstance("AES/GCM/NoPadding")
            cipher.init(Cipher.ENCRYPT_MODE, key()) // the Keystore makes a new IV
            val bytes = cipher.iv + cipher.doFinal(token.toByteArray())
            edit.putString(name, Base64.encodeToString(bytes, Base64.NO_WRAP))
        }
        if (!edit.commit()) throw IOException("the token cannot be stored") // not `apply`: it is used next
    }

    private fun key(): SecretKey {
        val keys = KeyStore.getInstance("AndroidKeyStore").apply { load(null) }
        (keys.getKey("chat-session", null) as SecretKey?)?.let { return it }
        val purposes = KeyProperties.PURPOSE_ENCRYPT or KeyProperties.PURPOSE_DECRYPT
        val generator = KeyGenerator.getInstance(KeyProperties.KEY_ALGORITHM_AES, "AndroidKeyStore")
        generator.init(
            KeyGenParameterSpec.Builder("chat-session", purposes)
                .setBlockModes(KeyProperties.BLOCK_MODE_GCM)
                .setEncryptionPaddings(KeyProperties.ENCRYPTION_PADDING_NONE)
                .build()
        )
        return generator.generateKey()
    }

    private companion object {
        const val IV_SIZE = 12
    }
}
// end store

// begin development
/** Connect without the service. Only an app with "Disable Auth Checks" accepts this token. */
fun connectForDevelopment(client: ChatClient, userId: String) {
    client.connectUser(User(id = userId), client.devToken(userId)).enqueue()
}
// end development
