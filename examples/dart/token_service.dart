// begin request
import 'dart:async';
import 'dart:convert';
import 'dart:math';

import 'package:firebase_auth/firebase_auth.dart' show FirebaseAuth, FirebaseAuthException;
import 'package:flutter_secure_storage/flutter_secure_storage.dart';
import 'package:http/http.dart' as http;
import 'package:shared_preferences/shared_preferences.dart';
import 'package:stream_chat/stream_chat.dart';
// end request

// begin request
/// A refusal of the service. [detail] says why.
class ServiceException implements Exception {
  ServiceException(this.status, this.code, this.detail, this.retryAfter);

  /// What a credential throws if no user is signed in at the identity provider. It is not retried.
  ServiceException.signedOut([String? detail])
      : this(401, 'sign_in_required', detail ?? 'No user is signed in.', Duration.zero);

  final int status;
  final String code;
  final String detail;
  final Duration retryAfter;

  bool get signInAgain => const {'sign_in_required', 'user_suspended', 'user_erased', 'invalid_grant'}.contains(code);
  bool get tryLater => status < 400 || status == 429 || status >= 500;

  @override
  String toString() => detail;
}

/// Return a text of a response. One of another server, such as a captive portal's, is retried.
String text(Map<String, dynamic> json, String name) {
  final value = json[name];
  if (value is String) return value;
  throw ServiceException(200, '', 'The response has no `$name`.', Duration.zero);
}

/// Send one request and return its JSON. A [body] makes it a POST; a map of texts is sent as a form.
Future<Map<String, dynamic>> send(Uri url, {String? credential, Object? body}) async {
  final headers = {
    if (credential != null) 'Authorization': 'Bearer $credential',
    if (body is String) 'Content-Type': 'application/json',
  };
  final request = body == null
      ? http.get(url, headers: headers)
      : http.post(url, headers: headers, body: body);
  final response = await request.timeout(const Duration(seconds: 5));
  final parsed = _parse(response.body);
  if (response.statusCode < 300 && parsed != null) return parsed;
  final json = parsed ?? {}; // the page of a proxy or of a captive portal
  throw ServiceException(
    response.statusCode,
    json['code'] ?? json['error'] ?? '',
    json['detail'] ?? json['error_description'] ?? '$url: status ${response.statusCode}',
    Duration(seconds: max(0, int.tryParse(response.headers['retry-after'] ?? '') ?? 0)),
  );
}

Map<String, dynamic>? _parse(String text) {
  try {
    return text.isEmpty ? {} : jsonDecode(text) as Map<String, dynamic>;
  } catch (_) {
    return null;
  }
}
// end request

// begin retry
/// The credential of the signed-in user. [refresh]: the service has refused the last one.
typedef Credential = Future<String> Function(bool refresh);

const _longestPause = Duration(seconds: 30);

/// Run attempts until one succeeds, is refused, or no time is left. Any other exception is retried, those
/// of the identity provider's SDK too, until [stopped] completes.
Future<T> retry<T>(
  Future<T> Function(bool refresh) attempt, {
  Duration? giveUpAfter = const Duration(minutes: 1),
  Completer<void>? stopped,
}) async {
  final watch = Stopwatch()..start();
  var refresh = false;
  var backOff = const Duration(milliseconds: 250);
  while (true) {
    try {
      return await attempt(refresh).timeout(const Duration(seconds: 10));
    } on Exception catch (error) {
      final refusal = error is ServiceException ? error : null;
      final mayRefresh = refusal?.status == 401 && !refusal!.signInAgain && !refresh;
      if (refusal != null && !refusal.tryLater && !mayRefresh) rethrow;
      final longer = backOff * (0.5 + Random().nextDouble()) + (refusal?.retryAfter ?? Duration.zero);
      final pause = mayRefresh ? Duration.zero : longer;
      if (giveUpAfter != null && watch.elapsed + pause > giveUpAfter) rethrow;
      final sleep = Future<void>.delayed(pause < _longestPause ? pause : _longestPause);
      await (stopped == null ? sleep : Future.any([sleep, stopped.future]));
      if (stopped != null && stopped.isCompleted) rethrow;
      refresh = mayRefresh;
      backOff = backOff * 2 < _longestPause ~/ 2 ? backOff * 2 : _longestPause ~/ 2;
    }
  }
}

/// Ask the service who the signed-in user is on Stream.
Future<Map<String, dynamic>> getMe(Uri service, Credential credential) => retry((refresh) async {
      final me = await send(service.resolve('/v1/me'), credential: await credential(refresh));
      for (final name in ['user_id', 'api_key']) text(me, name); // none if no Stream key is active
      return me;
    });
// end retry

// begin provider
/// The tokens of one sign-in. After the first one it waits for the service however long it takes, so that
/// requests succeed late instead of never. Create a new one after the next sign-in.
class ServiceTokens {
  ServiceTokens({
    required this.service,
    required this.apiKey,
    required this.credential,
    required this.onSignedOut,
  });

  final Uri service;
  final String apiKey;
  final Credential credential;
  final void Function(ServiceException) onSignedOut;
  final _stopped = Completer<void>();
  Duration? _giveUpAfter = const Duration(minutes: 1); // of the first connection
  Future<String>? _pending;
  ServiceException _end = ServiceException.signedOut();

  /// Call it before you disconnect: a call that waits for the service then ends.
  void stop() {
    if (!_stopped.isCompleted) _stopped.complete();
  }

  /// What the SDK calls. The service compares [userId] with the user of the credential.
  Future<String> provider(String userId) {
    if (_stopped.isCompleted) return Future.error(_end);
    return _pending ??= _requestUntilDone(userId).whenComplete(() => _pending = null);
  }

  Future<String> _requestUntilDone(String userId) async {
    final body = jsonEncode({'api_key': apiKey, 'user_id': userId});
    final url = service.resolve('/v1/token');
    try {
      final token = await retry(
        (refresh) async => text(await send(url, credential: await credential(refresh), body: body), 'token'),
        giveUpAfter: _giveUpAfter,
        stopped: _stopped,
      );
      _giveUpAfter = null;
      return token;
    } on ServiceException catch (error) {
      if (error.signInAgain && !_stopped.isCompleted) {
        _end = error;
        stop();
        onSignedOut(error);
      }
      rethrow;
    }
  }
}
// end provider

// begin connect
/// The chat of a signed-in user. It starts without a network, from what an earlier start stored. Create a
/// new one after the next sign-in.
class Chat {
  Chat({required this.service, required this.name, required this.credential, required this.onSignedOut});

  final Uri service;
  final String name;
  final Credential credential;
  final void Function(ServiceException) onSignedOut;
  StreamChatClient? client;
  ServiceTokens? _tokens;
  var _hasLeft = false;
  var _isSignedOut = false;

  /// Call it in `main` too. Nothing waits for the network; [onClient] gets the client, and a new one if
  /// the service answers otherwise than what was stored.
  Future<void> start(void Function(StreamChatClient) onClient) async {
    final stored = await SharedPreferences.getInstance(); // not secret
    final userId = stored.getString('chat.user_id');
    final apiKey = stored.getString('chat.api_key');
    if (userId != null && apiKey != null) onClient(_connect(userId, apiKey));
    try {
      final me = await getMe(service, credential);
      final (nextId, nextKey) = (me['user_id'] as String, me['api_key'] as String);
      if (_hasLeft || (nextId == userId && nextKey == apiKey)) return;
      await stored.setString('chat.user_id', nextId);
      await stored.setString('chat.api_key', nextKey);
      _tokens?.stop();
      await client?.disconnectUser(flushChatPersistence: true);
      if (!_hasLeft) onClient(_connect(nextId, nextKey));
    } on ServiceException catch (error) {
      if (error.signInAgain) _endedByService(error);
    } on Exception {
      // The service cannot be reached: what was stored stays in use.
    }
  }

  /// Tell the app once, and not after [leave].
  void _endedByService(ServiceException error) {
    if (_hasLeft || _isSignedOut) return;
    _isSignedOut = true;
    onSignedOut(error);
  }

  StreamChatClient _connect(String userId, String apiKey) {
    final chat = client = StreamChatClient(apiKey);
    final tokens = _tokens = ServiceTokens(
      service: service,
      apiKey: apiKey,
      credential: credential,
      onSignedOut: _endedByService,
    );
    final user = OwnUser(
      id: userId,
      name: name,
      privacySettings: const PrivacySettings(
        typingIndicators: TypingIndicators(enabled: true),
        readReceipts: ReadReceipts(enabled: false),
      ),
    );
    watchAccess(chat, service, credential, _endedByService);
    unawaited(chat.connectUserWithProvider(user, tokens.provider).then((_) {}, onError: print));
    return chat;
  }

  /// Unregister the device, disconnect the user, and remove their messages. [deviceId] is of `addDevice`.
  Future<void> leave({String? deviceId}) async {
    _hasLeft = true;
    _tokens?.stop();
    final stored = await SharedPreferences.getInstance();
    await stored.remove('chat.user_id');
    await stored.remove('chat.api_key');
    try {
      if (deviceId != null) await client?.removeDevice(deviceId);
    } on Exception {
      // The device stays registered at Stream.
    }
    await client?.disconnectUser(flushChatPersistence: true);
  }
}
// end connect

// begin watch
/// Leave an open connection when access ends. The event is a hint: only the service's answer counts.
void watchAccess(
  StreamChatClient client,
  Uri service,
  Credential credential,
  void Function(ServiceException) onSignedOut,
) {
  client.on('tokensvc_check').listen((event) async {
    if (event.cid != null) return; // another user can send this one, in a channel
    try {
      await getMe(service, credential);
    } on ServiceException catch (error) {
      if (!error.signInAgain) return;
      await client.disconnectUser();
      onSignedOut(error);
    } catch (_) {
      // The service cannot be reached: nothing changes.
    }
  });
}
// end watch

// begin firebase
/// The ID token of the Firebase user. An error of the network, for example, is retried.
Future<String> firebaseCredential(bool refresh) async {
  final user = await FirebaseAuth.instance.authStateChanges().first; // `currentUser` is null before it is read
  if (user == null) throw ServiceException.signedOut();
  try {
    return (await user.getIdToken(refresh))!;
  } on FirebaseAuthException catch (error) {
    const ended = {'user-disabled', 'user-not-found', 'user-token-expired', 'invalid-user-token'};
    if (ended.contains(error.code)) throw ServiceException.signedOut(error.message);
    rethrow;
  }
}
// end firebase

// begin account
/// A session with a built-in account. One refresh runs at a time.
class AccountSession {
  AccountSession(this.service);

  final Uri service;
  final _store = const FlutterSecureStorage();
  String? _accessToken;
  DateTime _renewAt = DateTime.fromMillisecondsSinceEpoch(0);
  Future<String>? _pending;
  Future<void> _changing = Future.value(); // the last change of `ending`: one at a time

  /// Create an account. It does not sign in.
  Future<void> signUp(String userId, String password, {String? invitation}) async {
    final body = {'user_id': userId, 'password': password, if (invitation != null) 'invitation': invitation};
    await send(service.resolve('/v1/accounts'), body: jsonEncode(body));
  }

  Future<void> signIn(String userId, String password) async {
    final body = jsonEncode({'user_id': userId, 'password': password});
    await _keep(await send(service.resolve('/v1/sessions'), body: body));
  }

  /// Pass it to [Chat].
  Future<String> credential(bool refresh) async {
    final current = _accessToken;
    if (current != null && !refresh && DateTime.now().isBefore(_renewAt)) return current;
    return _pending ??= _refresh().whenComplete(() => _pending = null);
  }

  /// End the session here, and at the service: without a network, at the next start.
  Future<void> signOut() async {
    final token = await _store.read(key: 'refresh-token');
    if (token != null) await _changeEnding((tokens) => [...tokens, token]);
    await forget();
    await finishSignOut();
  }

  /// End each session whose sign-out did not reach the service. Call it at each start of the app too.
  Future<void> finishSignOut() async {
    try {
      for (final token in await _ending()) {
        await send(service.resolve('/oauth/revoke'), body: {'token': token, 'client_id': 'app'});
        await _changeEnding((tokens) => tokens.where((other) => other != token).toList());
      }
    } on Exception {
      // The session ends at the next start.
    }
  }

  Future<List<String>> _ending() async => (await _store.read(key: 'ending'))?.split(' ') ?? [];

  /// Keep the last ten: then the oldest is forgotten.
  Future<void> _changeEnding(List<String> Function(List<String>) change) {
    final changed = _changing.then((_) async {
      final tokens = change(await _ending());
      final newest = tokens.sublist(max(0, tokens.length - 10));
      await _store.write(key: 'ending', value: newest.isEmpty ? null : newest.join(' '));
    });
    _changing = changed.catchError((_) {});
    return changed;
  }

  /// Call it in `onSignedOut`: the service has ended the session.
  Future<void> forget() async {
    _accessToken = null;
    await _store.delete(key: 'refresh-token');
  }

  Future<String> _refresh() async {
    final token = await _store.read(key: 'refresh-token');
    if (token == null) throw ServiceException.signedOut();
    final form = {'grant_type': 'refresh_token', 'client_id': 'app', 'refresh_token': token};
    try {
      return await _keep(await send(service.resolve('/oauth/token'), body: form));
    } on ServiceException catch (error) {
      if (error.signInAgain) await forget();
      rethrow;
    }
  }

  Future<String> _keep(Map<String, dynamic> grant) async {
    final token = text(grant, 'access_token');
    await _store.write(key: 'refresh-token', value: text(grant, 'refresh_token'));
    final seconds = (grant['expires_in'] as int) - 30;
    _renewAt = DateTime.now().add(Duration(seconds: seconds));
    return _accessToken = token;
  }
}
// end account

// begin development
/// Connect without the service. Only an app with "Disable Auth Checks" accepts this token.
Future<void> connectForDevelopment(StreamChatClient client, String userId) =>
    client.connectUser(User(id: userId), client.devToken(userId).rawValue);
// end development
