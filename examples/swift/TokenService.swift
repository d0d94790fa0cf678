// begin request
import FirebaseAuth
import Foundation
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
    var tryLater: Bool { status == 429 || status >= 500 }
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
    let json = (try? JSONSerialization.jsonObject(with: data)) as? [String: Any] ?? [:]
    guard let http = response as? HTTPURLResponse else { throw URLError(.badServerResponse) }
    if (200..<300).contains(http.statusCode) { return json }
    throw ServiceError(
        status: http.statusCode,
        code: json["code"] as? String ?? json["error"] as? String ?? "",
        detail: json["detail"] as? String ?? json["error_description"] as? String
            ?? "\(url) responded with status \(http.statusCode)",
        retryAfter: Double(http.value(forHTTPHeaderField: "Retry-After") ?? "") ?? 0
    )
}
// end request

typealias Credential = (_ refresh: Bool) async throws -> String

// begin provider
/// The tokens of one sign-in. Create a new one after the next sign-in.
actor ServiceTokens {
    private let service: URL
    private let apiKey: String
    private let credential: Credential
    private let onSignedOut: (ServiceError) -> Void
    private var pending: Task<Token, Error>?
    private var signedOut: ServiceError?

    init(
        service: URL,
        apiKey: String,
        credential: @escaping Credential,
        onSignedOut: @escaping (ServiceError) -> Void
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

    /// One request for all callers: the SDK may call its provider twice at the same time.
    private func token() async throws -> Token {
        if let signedOut { throw signedOut }
        if let pending { return try await pending.value }
        let task = Task { try await requestUntilDone() }
        pending = task
        defer { pending = nil }
        return try await task.value
    }

    private func requestUntilDone() async throws -> Token {
        var refresh = false
        for attempt in 0..<5 {
            var pause = 0.5 * pow(2, Double(attempt))
            do {
                return try await request(refresh: refresh)
            } catch let error as ServiceError {
                if error.signInAgain {
                    signedOut = error
                    onSignedOut(error)
                    throw error
                }
                let mayRefresh = error.status == 401 && !refresh
                guard error.tryLater || mayRefresh else { throw error }
                refresh = mayRefresh
                pause = mayRefresh ? 0 : pause + error.retryAfter
                if attempt == 4 || pause > 15 { throw error }
            } catch let error as URLError {
                if attempt == 4 { throw error }
            }
            try await Task.sleep(nanoseconds: UInt64(pause * 1_000_000_000))
        }
        throw URLError(.timedOut)
    }

    private func request(refresh: Bool) async throws -> Token {
        let body = try JSONSerialization.data(withJSONObject: ["api_key": apiKey])
        let url = service.appendingPathComponent("v1/token")
        let json = try await send(url, credential: try await credential(refresh), body: body)
        return try Token(rawValue: json["token"] as? String ?? "")
    }
}
// end provider

// begin connect
/// Connect the signed-in user, and return Stream's client.
func connectChat(
    service: URL,
    name: String,
    credential: @escaping Credential,
    onSignedOut: @escaping (ServiceError) -> Void
) async throws -> ChatClient {
    let url = service.appendingPathComponent("v1/me")
    let me = try await send(url, credential: try await credential(false))
    guard let userId = me["user_id"] as? String, let apiKey = me["api_key"] as? String else {
        throw URLError(.cannotParseResponse)
    }
    let client = ChatClient(config: ChatClientConfig(apiKeyString: apiKey))
    let tokens = ServiceTokens(
        service: service, apiKey: apiKey, credential: credential, onSignedOut: onSignedOut
    )
    let user = UserInfo(
        id: userId,
        name: name,
        privacySettings: UserPrivacySettings(
            typingIndicators: TypingIndicatorPrivacySettings(enabled: true),
            readReceipts: ReadReceiptsPrivacySettings(enabled: false)
        )
    )
    client.connectUser(userInfo: user, tokenProvider: tokens.provider) { error in
        if let error { print("chat is not connected: \(error)") }
    }
    return client
}
// end connect

// begin watch
/// Leaves an open connection when access ends. Keep it as long as the client.
/// The event is a hint: only the service's answer counts.
final class AccessWatcher: EventsControllerDelegate {
    private let events: EventsController
    private let service: URL
    private let credential: Credential
    private let onSignedOut: (ServiceError) -> Void

    init(
        client: ChatClient,
        service: URL,
        credential: @escaping Credential,
        onSignedOut: @escaping (ServiceError) -> Void
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
        Task {
            do {
                let url = service.appendingPathComponent("v1/me")
                _ = try await send(url, credential: try await credential(false))
            } catch let error as ServiceError where error.signInAgain {
                onSignedOut(error)
            }
        }
    }
}
// end watch

// begin switch
/// Unregister the device, disconnect the user, remove their messages, and let the next one sign in.
func disconnectChat(_ client: ChatClient, deviceId: String, thenSignIn: @escaping () -> Void) {
    client.currentUserController().removeDevice(id: deviceId) { _ in
        client.logout { thenSignIn() }
    }
}
// end switch

// begin firebase
/// The ID token of the Firebase user.
func firebaseCredential(refresh: Bool) async throws -> String {
    guard let user = Auth.auth().currentUser else { throw URLError(.userAuthenticationRequired) }
    return try await user.getIDTokenResult(forcingRefresh: refresh).token
}
// end firebase

// begin account
/// Where the session keeps its refresh token: the Keychain.
protocol TokenStore: AnyObject {
    var refreshToken: String? { get set }
}

/// A session with a built-in account. One refresh runs at a time.
actor AccountSession {
    private let service: URL
    private let store: TokenStore
    private var accessToken: String?
    private var renewAt = Date.distantPast
    private var pending: Task<String, Error>?

    init(service: URL, store: TokenStore) {
        self.service = service
        self.store = store
    }

    func signIn(userId: String, password: String) async throws {
        let body = try JSONSerialization.data(withJSONObject: ["user_id": userId, "password": password])
        keep(try await send(service.appendingPathComponent("v1/sessions"), body: body))
    }

    /// Pass `{ try await session.credential(refresh: $0) }` to `connectChat`.
    func credential(refresh: Bool) async throws -> String {
        if let accessToken, !refresh, Date() < renewAt { return accessToken }
        if let pending { return try await pending.value }
        let task = Task { try await refreshSession() }
        pending = task
        defer { pending = nil }
        return try await task.value
    }

    /// End the session here, and then at the service.
    func signOut() async throws {
        let refreshToken = store.refreshToken
        forget()
        if let refreshToken { _ = try await postForm("oauth/revoke", "token", refreshToken) }
    }

    /// Call it in `onSignedOut`: the service has ended the session.
    func forget() {
        accessToken = nil
        store.refreshToken = nil
    }

    private func refreshSession() async throws -> String {
        guard let refreshToken = store.refreshToken else {
            throw ServiceError(
                status: 401, code: "sign_in_required", detail: "No user is signed in.", retryAfter: 0
            )
        }
        do {
            return keep(try await postForm("oauth/token", "refresh_token", refreshToken))
        } catch let error as ServiceError where error.signInAgain {
            forget()
            throw error
        }
    }

    @discardableResult
    private func keep(_ grant: [String: Any]) -> String {
        let token = grant["access_token"] as? String ?? ""
        store.refreshToken = grant["refresh_token"] as? String
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

// begin development
/// Connect without the service. Only an app with "Disable Auth Checks" accepts this token.
func connectForDevelopment(_ client: ChatClient, userId: String) {
    client.connectUser(userInfo: UserInfo(id: userId), tokenProvider: { completion in
        completion(.success(.development(userId: userId)))
    })
}
// end development
