// begin request
import FirebaseAuth
import Foundation
import Security
import StreamChat
// end request

// begin request
/// A refusal of the service. `detail` says why.
struct ServiceError: LocalizedError {
    let status: Int
    let code: String
    let detail: String
    let retryAfter: Double

    var errorDescription: String? { detail }
    var signInAgain: Bool { ["sign_in_required", "user_suspended", "user_erased", "invalid_grant"].contains(code) }
    var tryLater: Bool { status < 400 || status == 429 || status >= 500 }

    /// What a credential throws if no user is signed in at the identity provider. It is not retried.
    static func signedOut(_ detail: String = "No user is signed in.") -> ServiceError {
        ServiceError(status: 401, code: "sign_in_required", detail: detail, retryAfter: 0)
    }
}

/// Return a text of a response. One of another server, such as a captive portal's, is retried.
func text(_ json: [String: Any], _ name: String) throws -> String {
    if let value = json[name] as? String { return value }
    throw ServiceError(status: 200, code: "", detail: "The response has no `\(name)`.", retryAfter: 0)
}

/// Send one request and return its JSON.
func send(
    _ url: URL,
    credential: String? = nil,
    body: Data? = nil,
    type: String = "application/json"
) async throws -> [String: Any] {
    var request = URLRequest(url: url, timeoutInterval: 5)
    request.httpMethod = body == nil ? "GET" : "POST"
    request.httpBody = body
    if body != nil { request.setValue(type, forHTTPHeaderField: "Content-Type") }
    if let credential { request.setValue("Bearer \(credential)", forHTTPHeaderField: "Authorization") }
    let (data, response) = try await URLSession.shared.data(for: request)
    let parsed = (try? JSONSerialization.jsonObject(with: data)) as? [String: Any]
    guard let http = response as? HTTPURLResponse else { throw URLError(.badServerResponse) }
    let json = parsed ?? [:] // nothing, or the page of a captive portal
    if (200..<300).contains(http.statusCode), parsed != nil || data.isEmpty { return json }
    throw ServiceError(
        status: http.statusCode,
        code: json["code"] as? String ?? json["error"] as? String ?? "",
        detail: json["detail"] as? String ?? json["error_description"] as? String
            ?? "\(url) responded with status \(http.statusCode)",
        retryAfter: max(0, Double(Int(http.value(forHTTPHeaderField: "Retry-After") ?? "") ?? 0))
    )
}
// end request

// begin retry
/// The credential of the signed-in user. `refresh`: the service has refused the last one.
typealias Credential = @Sendable (_ refresh: Bool) async throws -> String

/// Run attempts until one succeeds, is refused, or no time is left. Any error that is not a refusal is
/// retried, those of the identity provider's SDK too, until the task is cancelled.
func retry<Value>(
    giveUpAfter: TimeInterval = 60,
    _ attempt: @Sendable (_ refresh: Bool) async throws -> Value
) async throws -> Value {
    let start = ProcessInfo.processInfo.systemUptime
    var refresh = false
    var backOff = 0.25
    while true {
        do {
            return try await attempt(refresh)
        } catch {
            let refusal = error as? ServiceError
            let mayRefresh = refusal?.status == 401 && refusal?.signInAgain == false && !refresh
            if let refusal, !refusal.tryLater, !mayRefresh { throw refusal }
            let pause = mayRefresh ? 0 : (refusal?.retryAfter ?? 0) + backOff * .random(in: 0.5..<1.5)
            if ProcessInfo.processInfo.systemUptime - start + pause > giveUpAfter { throw error }
            try await Task.sleep(nanoseconds: UInt64(min(pause, 30) * 1_000_000_000))
            refresh = mayRefresh
            backOff = min(backOff * 2, 15)
        }
    }
}

/// Ask the service who the signed-in user is on Stream.
func getMe(service: URL, credential: @escaping Credential) async throws -> [String: Any] {
    let url = service.appendingPathComponent("v1/me")
    return try await retry { refresh in
        let me = try await send(url, credential: try await credential(refresh))
        for name in ["user_id", "api_key"] { _ = try text(me, name) } // none if no Stream key is active
        return me
    }
}
// end retry

// begin provider
/// The tokens of one sign-in. After the first one it waits for the service however long it takes, so that
/// requests succeed late instead of never. Create a new one after the next sign-in.
actor ServiceTokens {
    private let service: URL
    private let apiKey: String
    private let credential: Credential
    private let onSignedOut: @Sendable (ServiceError) -> Void
    private var giveUpAfter: TimeInterval = 60 // of the first connection
    private var pending: Task<Token, Error>?
    private var ended: Error?

    init(
        service: URL,
        apiKey: String,
        credential: @escaping Credential,
        onSignedOut: @escaping @Sendable (ServiceError) -> Void
    ) {
        self.service = service
        self.apiKey = apiKey
        self.credential = credential
        self.onSignedOut = onSignedOut
    }

    /// What the SDK calls. It completes exactly once, with a token or with an error.
    nonisolated var provider: TokenProvider {
        { completion in
            Task {
                do {
                    completion(.success(try await self.token()))
                } catch {
                    completion(.failure(error))
                }
            }
        }
    }

    /// Call it before you disconnect: a call that waits for the service then ends.
    func stop() {
        if ended == nil { ended = CancellationError() }
        pending?.cancel()
    }

    /// One request for all callers: the SDK may call its provider twice at the same time.
    private func token() async throws -> Token {
        if let ended { throw ended }
        if let pending { return try await pending.value }
        let task = Task { try await requestUntilDone() }
        pending = task
        defer { pending = nil }
        return try await task.value
    }

    private func requestUntilDone() async throws -> Token {
        let body = try JSONSerialization.data(withJSONObject: ["api_key": apiKey])
        let url = service.appendingPathComponent("v1/token")
        do {
            let token = try await retry(giveUpAfter: giveUpAfter) { [credential] refresh in
                let json = try await send(url, credential: try await credential(refresh), body: body)
                return try Token(rawValue: json["token"] as? String ?? "")
            }
            giveUpAfter = .infinity
            return token
        } catch let error as ServiceError where error.signInAgain && ended == nil {
            ended = error
            onSignedOut(error)
            throw error
        }
    }
}
// end provider

// begin connect
/// The chat of a signed-in user. It starts without a network, from what an earlier start stored. Create a
/// new one after the next sign-in.
@MainActor
final class Chat {
    private let service: URL
    private let name: String
    private let credential: Credential
    private let onSignedOut: @Sendable (ServiceError) -> Void
    private let stored = UserDefaults.standard // not secret
    private var tokens: ServiceTokens?
    private var watcher: AccessWatcher?
    private var hasLeft = false
    private var isSignedOut = false
    private(set) var client: ChatClient?

    init(
        service: URL,
        name: String,
        credential: @escaping Credential,
        onSignedOut: @escaping @Sendable (ServiceError) -> Void
    ) {
        self.service = service
        self.name = name
        self.credential = credential
        self.onSignedOut = onSignedOut
    }

    /// Call it in `application(_:didFinishLaunchingWithOptions:)` too: nothing waits for the network.
    func start() {
        let userId = stored.string(forKey: "chat.user_id")
        let apiKey = stored.string(forKey: "chat.api_key")
        if let userId, let apiKey { connect(userId, apiKey) }
        Task { await ask(userId, apiKey) }
    }

    private func ask(_ userId: String?, _ apiKey: String?) async {
        do {
            let me = try await getMe(service: service, credential: credential)
            guard let nextId = me["user_id"] as? String, let nextKey = me["api_key"] as? String else { return }
            guard !hasLeft, nextId != userId || nextKey != apiKey else { return }
            stored.set(nextId, forKey: "chat.user_id")
            stored.set(nextKey, forKey: "chat.api_key")
            await tokens?.stop()
            guard let previous = client else { return connect(nextId, nextKey) }
            await withCheckedContinuation { done in previous.logout { done.resume() } }
            connect(nextId, nextKey)
        } catch let error as ServiceError where error.signInAgain {
            endedByService(error)
        } catch {
            print("the stored user and key are not confirmed: \(error)")
        }
    }

    /// Tell the app once, and not after `leave`.
    private func endedByService(_ error: ServiceError) {
        guard !hasLeft, !isSignedOut else { return }
        isSignedOut = true
        onSignedOut(error)
    }

    private func connect(_ userId: String, _ apiKey: String) {
        guard !hasLeft else { return }
        let client = ChatClient(config: ChatClientConfig(apiKeyString: apiKey))
        let ended: @Sendable (ServiceError) -> Void = { [weak self] error in
            Task { @MainActor [weak self] in self?.endedByService(error) }
        }
        let tokens = ServiceTokens(service: service, apiKey: apiKey, credential: credential, onSignedOut: ended)
        let user = UserInfo(
            id: userId,
            name: name,
            privacySettings: UserPrivacySettings(
                typingIndicators: TypingIndicatorPrivacySettings(enabled: true),
                readReceipts: ReadReceiptsPrivacySettings(enabled: false)
            )
        )
        self.client = client
        self.tokens = tokens
        watcher = AccessWatcher(client: client, service: service, credential: credential, onSignedOut: ended)
        client.connectUser(userInfo: user, tokenProvider: tokens.provider) { error in
            if let error { print("chat is not connected: \(error)") }
        }
    }

    /// Unregister the device, disconnect the user, remove their messages, and let the next one sign in.
    func leave(deviceId: String?) async {
        hasLeft = true
        stored.removeObject(forKey: "chat.user_id")
        stored.removeObject(forKey: "chat.api_key")
        await tokens?.stop()
        guard let client else { return }
        if let deviceId {
            await withCheckedContinuation { done in
                client.currentUserController().removeDevice(id: deviceId) { _ in done.resume() }
            }
        }
        await withCheckedContinuation { done in client.logout { done.resume() } }
    }
}
// end connect

// begin watch
/// Leaves an open connection when access ends. Keep it as long as the client.
/// The event is a hint: only the service's answer counts.
final class AccessWatcher: EventsControllerDelegate {
    private let events: EventsController
    private let service: URL
    private let credential: Credential
    private let onSignedOut: @Sendable (ServiceError) -> Void

    init(
        client: ChatClient,
        service: URL,
        credential: @escaping Credential,
        onSignedOut: @escaping @Sendable (ServiceError) -> Void
    ) {
        events = client.eventsController()
        self.service = service
        self.credential = credential
        self.onSignedOut = onSignedOut
        events.delegate = self
    }

    /// An event that another user sends in a channel is an `UnknownChannelEvent`.
    func eventsController(_ controller: EventsController, didReceiveEvent event: Event) {
        guard let event = event as? UnknownUserEvent, event.type.rawValue == "tokensvc_check" else { return }
        Task { [service, credential, onSignedOut] in
            do {
                _ = try await getMe(service: service, credential: credential)
            } catch let error as ServiceError where error.signInAgain {
                onSignedOut(error)
            }
        }
    }
}
// end watch

// begin firebase
/// The ID token of the Firebase user. An error of the network, for example, is retried.
@Sendable func firebaseCredential(refresh: Bool) async throws -> String {
    guard let user = Auth.auth().currentUser else { throw ServiceError.signedOut() }
    do {
        return try await user.getIDTokenResult(forcingRefresh: refresh).token
    } catch {
        switch AuthErrorCode(rawValue: (error as NSError).code) {
        case .userDisabled, .userNotFound, .userTokenExpired, .invalidUserToken:
            throw ServiceError.signedOut(error.localizedDescription)
        default:
            throw error
        }
    }
}
// end firebase

// begin account
/// A session with a built-in account. One refresh runs at a time.
actor AccountSession {
    private static let refreshTokenName = "refresh-token"
    private static let endingName = "ending" // the tokens of sessions whose sign-out did not reach the service
    private static let mostEnding = 10 // then the oldest is forgotten

    private let service: URL
    private let store: TokenStore
    private var accessToken: String?
    private var renewAt = Date.distantPast
    private var pending: Task<String, Error>?

    init(service: URL, store: TokenStore) {
        self.service = service
        self.store = store
    }

    /// Create an account. It does not sign in.
    func signUp(userId: String, password: String, invitation: String? = nil) async throws {
        var account = ["user_id": userId, "password": password]
        account["invitation"] = invitation
        let body = try JSONSerialization.data(withJSONObject: account)
        _ = try await send(service.appendingPathComponent("v1/accounts"), body: body)
    }

    func signIn(userId: String, password: String) async throws {
        let body = try JSONSerialization.data(withJSONObject: ["user_id": userId, "password": password])
        try keep(try await send(service.appendingPathComponent("v1/sessions"), body: body))
    }

    /// Pass `{ try await session.credential(refresh: $0) }` to `Chat`.
    func credential(refresh: Bool) async throws -> String {
        if let accessToken, !refresh, Date() < renewAt { return accessToken }
        if let pending { return try await pending.value }
        let task = Task { try await refreshSession() }
        pending = task
        defer { pending = nil }
        return try await task.value
    }

    /// End the session here, and at the service: without a network, at the next start.
    func signOut() async throws {
        if let refreshToken = try store.read(Self.refreshTokenName) {
            try setEnding(ending() + [refreshToken])
        }
        try forget()
        try? await finishSignOut()
    }

    /// Call it at each start of the app too.
    func finishSignOut() async throws {
        for token in try ending() {
            _ = try await postForm("oauth/revoke", "token", token)
            try setEnding(ending().filter { $0 != token })
        }
    }

    private func ending() throws -> [String] {
        try store.read(Self.endingName)?.components(separatedBy: " ") ?? []
    }

    private func setEnding(_ tokens: [String]) throws {
        let newest = tokens.suffix(Self.mostEnding).joined(separator: " ")
        try store.write(newest.isEmpty ? nil : newest, Self.endingName)
    }

    /// Call it in `onSignedOut`: the service has ended the session.
    func forget() throws {
        accessToken = nil
        try store.write(nil, Self.refreshTokenName)
    }

    private func refreshSession() async throws -> String {
        guard let refreshToken = try store.read(Self.refreshTokenName) else { throw ServiceError.signedOut() }
        do {
            return try keep(try await postForm("oauth/token", "refresh_token", refreshToken))
        } catch let error as ServiceError where error.signInAgain {
            try forget()
            throw error
        }
    }

    @discardableResult
    private func keep(_ grant: [String: Any]) throws -> String {
        let token = try text(grant, "access_token")
        try store.write(try text(grant, "refresh_token"), Self.refreshTokenName)
        accessToken = token
        renewAt = Date().addingTimeInterval((grant["expires_in"] as? Double ?? 0) - 30)
        return token
    }

    private func postForm(_ path: String, _ name: String, _ token: String) async throws -> [String: Any] {
        let value = token.addingPercentEncoding(withAllowedCharacters: .alphanumerics) ?? ""
        let form = "grant_type=refresh_token&client_id=app&\(name)=\(value)"
        return try await send(
            service.appendingPathComponent(path),
            body: Data(form.utf8),
            type: "application/x-www-form-urlencoded"
        )
    }
}
// end account

// begin store
/// Where a session keeps its tokens, each under a name.
protocol TokenStore: Sendable {
    func read(_ name: String) throws -> String?
    func write(_ token: String?, _ name: String) throws
}

/// Keeps the tokens in the Keychain of this device: not in backups, and readable in the background.
struct KeychainTokenStore: TokenStore {
    func read(_ name: String) throws -> String? {
        var found: CFTypeRef?
        let query = item(name).merging([kSecReturnData as String: true]) { _, new in new }
        let status = SecItemCopyMatching(query as CFDictionary, &found)
        if status == errSecItemNotFound { return nil }
        try check(status) // before the first unlock the item cannot be read: not the same as signed out
        return (found as? Data).map { String(decoding: $0, as: UTF8.self) }
    }

    func write(_ token: String?, _ name: String) throws {
        guard let token else {
            let status = SecItemDelete(item(name) as CFDictionary)
            if status != errSecItemNotFound { try check(status) }
            return
        }
        let value: [String: Any] = [
            kSecValueData as String: Data(token.utf8),
            kSecAttrAccessible as String: kSecAttrAccessibleAfterFirstUnlockThisDeviceOnly,
        ]
        let status = SecItemUpdate(item(name) as CFDictionary, value as CFDictionary)
        if status == errSecItemNotFound {
            try check(SecItemAdd(item(name).merging(value) { _, new in new } as CFDictionary, nil))
        } else {
            try check(status)
        }
    }

    private func item(_ name: String) -> [String: Any] {
        [
            kSecClass as String: kSecClassGenericPassword,
            kSecAttrService as String: "chat-session",
            kSecAttrAccount as String: name,
        ]
    }

    private func check(_ status: OSStatus) throws {
        if status != errSecSuccess { throw NSError(domain: NSOSStatusErrorDomain, code: Int(status)) }
    }
}
// end store

// begin development
/// Connect without the service. Only an app with "Disable Auth Checks" accepts this token.
func connectForDevelopment(_ client: ChatClient, userId: String) {
    client.connectUser(userInfo: UserInfo(id: userId), tokenProvider: { completion in
        completion(.success(.development(userId: userId)))
    })
}
// end development
