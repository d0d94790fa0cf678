// begin request
import 'dart:async';
import 'dart:convert';

import 'package:firebase_auth/firebase_auth.dart' show FirebaseAuth;
import 'package:flutter_secure_storage/flutter_secure_storage.dart';
import 'package:http/http.dart' as http;
import 'package:stream_chat/stream_chat.dart';
// end request

// begin request
/// A refusal of the service. [detail] says why.
class ServiceException implements Exception {
  ServiceException(this.status, this.code, this.detail, this.retryAfter);

  final int status;
  final String code;
  final String detail;
  final Duration retryAfter;

  bool get signInAgain => const {'sign_in_required', 'user_suspended', 'user_erased', 'invalid_grant'}.contains(code);
  bool get tryLater => status == 429 || status >= 500;

  @override
  String toString() => detail;
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
  final json = _parse(response.body);
  if (response.statusCode < 300) return json;
  throw ServiceException(
    response.statusCode,
    json['code'] ?? json['error'] ?? '',
    json['detail'] ?? json['error_description'] ?? '$url: status ${response.statusCode}',
    Duration(seconds: int.tryParse(response.headers['retry-after'] ?? '') ?? 0),
  );
}

Map<String, dynamic> _parse(String text) {
  try {
    return jsonDecode(text) as Map<String, dynamic>;
  } catch (_) {
    return {}; // a page of a proxy
  }
}
// end request

typedef Credential = Future<String> Function(bool refresh);

// begin provider
/// The tokens of one sign-in. Create a new one after the next sign-in.
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
  Future<String>? _pending;
  ServiceException? _signedOut;

  /// What the SDK calls. The service compares [userId] with the user of the credential.
  Future<String> provider(String userId) {
    final signedOut = _signedOut;
    if (signedOut != null) return Future.error(signedOut);
    return _pending ??= _requestUntilDone(userId).whenComplete(() => _pending = null);
  }

  Future<String> _requestUntilDone(String userId) async {
    var refresh = false;
    for (var attempt = 0;; attempt++) {
      var pause = Duration(milliseconds: 500 << attempt);
      try {
        final body = jsonEncode({'api_key': apiKey, 'user_id': userId});
        final url = service.resolve('/v1/token');
        final json = await send(url, credential: await credential(refresh), body: body);
        return json['token'] as String;
      } on ServiceException catch (error) {
        if (error.signInAgain) {
          _signedOut = error;
          onSignedOut(error);
          rethrow;
        }
        final mayRefresh = error.status == 401 && !refresh;
        if (!error.tryLater && !mayRefresh) rethrow;
        refresh = mayRefresh;
        pause = mayRefresh ? Duration.zero : pause + error.retryAfter;
        if (attempt == 4 || pause > const Duration(seconds: 15)) rethrow;
      } on TimeoutException {
        if (attempt == 4) rethrow;
      } on http.ClientException {
        if (attempt == 4) rethrow;
      }
      await Future<void>.delayed(pause);
    }
  }
}
// end provider

// begin connect
/// Connect the signed-in user, and return Stream's client.
Future<StreamChatClient> connectChat({
  required Uri service,
  required String name,
  required Credential credential,
  required void Function(ServiceException) onSignedOut,
}) async {
  final me = await send(service.resolve('/v1/me'), credential: await credential(false));
  final apiKey = me['api_key'] as String;
  final client = StreamChatClient(apiKey);
  final user = OwnUser(
    id: me['user_id'] as String,
    name: name,
    privacySettings: const PrivacySettings(
      typingIndicators: TypingIndicators(enabled: true),
      readReceipts: ReadReceipts(enabled: false),
    ),
  );
  final tokens = ServiceTokens(
    service: service,
    apiKey: apiKey,
    credential: credential,
    onSignedOut: onSignedOut,
  );
  watchAccess(client, service, credential, onSignedOut);
  await client.connectUserWithProvider(user, tokens.provider);
  return client;
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
      await send(service.resolve('/v1/me'), credential: await credential(false));
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

// begin switch
/// Unregister the device, disconnect the user, and remove their messages. [deviceId] is of `addDevice`.
Future<void> disconnectChat(StreamChatClient client, {String? deviceId}) async {
  try {
    if (deviceId != null) await client.removeDevice(deviceId);
  } finally {
    await client.disconnectUser(flushChatPersistence: true);
  }
}
// end switch

// begin firebase
/// The ID token of the Firebase user.
Future<String> firebaseCredential(bool refresh) async =>
    (await FirebaseAuth.instance.currentUser!.getIdToken(refresh))!;
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

  Future<void> signIn(String userId, String password) async {
    final body = jsonEncode({'user_id': userId, 'password': password});
    await _keep(await send(service.resolve('/v1/sessions'), body: body));
  }

  /// Pass it to [connectChat].
  Future<String> credential(bool refresh) async {
    final current = _accessToken;
    if (current != null && !refresh && DateTime.now().isBefore(_renewAt)) return current;
    return _pending ??= _refresh().whenComplete(() => _pending = null);
  }

  /// End the session here, and then at the service.
  Future<void> signOut() async {
    final token = await _store.read(key: 'refresh-token');
    await forget();
    if (token == null) return;
    await send(service.resolve('/oauth/revoke'), body: {'token': token, 'client_id': 'app'});
  }

  /// Call it in `onSignedOut`: the service has ended the session.
  Future<void> forget() async {
    _accessToken = null;
    await _store.delete(key: 'refresh-token');
  }

  Future<String> _refresh() async {
    final token = await _store.read(key: 'refresh-token');
    if (token == null) {
      throw ServiceException(401, 'sign_in_required', 'No user is signed in.', Duration.zero);
    }
    final form = {'grant_type': 'refresh_token', 'client_id': 'app', 'refresh_token': token};
    try {
      return await _keep(await send(service.resolve('/oauth/token'), body: form));
    } on ServiceException catch (error) {
      if (error.signInAgain) await forget();
      rethrow;
    }
  }

  Future<String> _keep(Map<String, dynamic> grant) async {
    await _store.write(key: 'refresh-token', value: grant['refresh_token'] as String);
    final seconds = (grant['expires_in'] as int) - 30;
    _renewAt = DateTime.now().add(Duration(seconds: seconds));
    return _accessToken = grant['access_token'] as String;
  }
}
// end account

// begin development
/// Connect without the service. Only an app with "Disable Auth Checks" accepts this token.
Future<void> connectForDevelopment(StreamChatClient client, String userId) =>
    client.connectUser(User(id: userId), client.devToken(userId).rawValue);
// end development
