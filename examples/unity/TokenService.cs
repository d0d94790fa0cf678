// begin request
using System;
using System.Collections.Generic;
using System.Linq;
using System.Text.RegularExpressions;
using System.Threading;
using System.Threading.Tasks;
using Firebase;
using Firebase.Auth;
using Newtonsoft.Json.Linq;
using StreamChat.Core;
using StreamChat.Libs.Auth;
using UnityEngine;
using UnityEngine.Networking;
// end request

namespace Example.Chat
{
    // begin request
    /// <summary>A refusal of the service. The message is the `detail` of the response.</summary>
    public sealed class ServiceException : Exception
    {
        public ServiceException(long status, string code, string detail, int retryAfter) : base(detail)
        {
            Status = status;
            Code = code;
            RetryAfter = retryAfter;
        }

        public long Status { get; } // 0: the service cannot be reached
        public string Code { get; }
        public int RetryAfter { get; }

        public bool SignInAgain =>
            Code == "sign_in_required" || Code == "user_suspended" || Code == "user_erased" || Code == "invalid_grant";

        public bool TryLater => Status < 400 || Status == 429 || Status >= 500;

        /// <summary>
        /// What a credential throws if no user is signed in at the identity provider. It is not retried.
        /// </summary>
        public static ServiceException SignedOut(string detail = "No user is signed in.") =>
            new ServiceException(401, "sign_in_required", detail, 0);
    }

    public static class Service
    {
        /// <summary>Send one request on the main thread, and return the body of its response.</summary>
        public static async Task<string> SendAsync(UnityWebRequest request, string credential = null)
        {
            using (request)
            {
                request.timeout = 5;
                if (credential != null)
                {
                    request.SetRequestHeader("Authorization", "Bearer " + credential);
                }

                var operation = request.SendWebRequest();
                while (!operation.isDone)
                {
                    await Task.Yield();
                }

                var text = request.downloadHandler?.text ?? "";
                if (request.responseCode >= 200 && request.responseCode < 300)
                {
                    return text;
                }

                var problem = Parse(text) ?? new JObject();
                int.TryParse(request.GetResponseHeader("Retry-After"), out var retryAfter);
                retryAfter = Math.Max(0, retryAfter);
                throw new ServiceException(
                    request.responseCode,
                    (string)problem["code"] ?? (string)problem["error"],
                    (string)problem["detail"] ?? (string)problem["error_description"]
                        ?? $"{request.url}: {request.error}",
                    retryAfter);
            }
        }

        /// <summary>
        /// The same for a response of JSON, or without a body. Another one, such as the page of a captive
        /// portal, is retried.
        /// </summary>
        public static async Task<JObject> SendForJsonAsync(UnityWebRequest request, string credential = null)
        {
            var url = request.url;
            var text = await SendAsync(request, credential);
            return Parse(text == "" ? "{}" : text)
                ?? throw new ServiceException(200, "", $"{url}: the response is no JSON", 0);
        }

        /// <summary>Return a text of a response. One of another server is retried.</summary>
        public static string Text(JObject json, string name) =>
            json[name]?.Type == JTokenType.String
                ? (string)json[name]
                : throw new ServiceException(200, "", $"The response has no `{name}`.", 0);

        private static JObject Parse(string text)
        {
            try
            {
                return JObject.Parse(text);
            }
            catch (Newtonsoft.Json.JsonException)
            {
                return null; // a page of a proxy
            }
        }
    }
    // end request

    // begin retry
    public static class Retry
    {
        /// <summary>
        /// Run attempts until one succeeds, is refused, or no time is left. Any error that is not a refusal
        /// is retried, those of the identity provider's SDK too.
        /// </summary>
        public static async Task<T> RunAsync<T>(
            Func<bool, Task<T>> attempt, double giveUpAfter = 60, CancellationToken stopped = default)
        {
            var start = Time.realtimeSinceStartupAsDouble;
            var refresh = false;
            for (var backOff = 0.25; ; backOff = Math.Min(backOff * 2, 15))
            {
                double pause;
                try
                {
                    return await attempt(refresh);
                }
                catch (Exception error)
                {
                    var refusal = error as ServiceException;
                    var mayRefresh = refusal?.Status == 401 && !refusal.SignInAgain && !refresh;
                    pause = mayRefresh ? 0 : (refusal?.RetryAfter ?? 0) + backOff * UnityEngine.Random.Range(0.5f, 1.5f);
                    var isFinal = refusal != null && !refusal.TryLater && !mayRefresh;
                    if (isFinal || Time.realtimeSinceStartupAsDouble - start + pause > giveUpAfter)
                    {
                        throw;
                    }

                    refresh = mayRefresh;
                }

                // `Task.Delay` never ends in a WebGL build.
                var end = Time.realtimeSinceStartupAsDouble + Math.Min(pause, 30);
                while (Time.realtimeSinceStartupAsDouble < end)
                {
                    stopped.ThrowIfCancellationRequested();
                    await Task.Yield();
                }
            }
        }

        /// <summary>Ask the service who the signed-in user is on Stream.</summary>
        public static Task<(string UserId, string ApiKey)> GetMeAsync(
            string service, Func<bool, Task<string>> credential) =>
            RunAsync(async refresh =>
            {
                var value = await credential(refresh);
                var me = await Service.SendForJsonAsync(UnityWebRequest.Get($"{service}/v1/me"), value);
                return (Service.Text(me, "user_id"), Service.Text(me, "api_key")); // none if no Stream key is active
            });
    }
    // end retry

    // begin provider
    /// <summary>
    /// The token provider of one sign-in. It asks for `text/plain`: the body is the token. After its first
    /// token it waits for the service however long it takes, so that requests succeed late instead of never.
    /// Create a new one after the next sign-in.
    /// </summary>
    public sealed class ServiceTokenProvider : ITokenProvider
    {
        private static readonly Regex Token = new Regex(@"^[\w-]+\.[\w-]+\.[\w-]+$");

        private readonly string _service;
        private readonly string _apiKey;
        private readonly Func<bool, Task<string>> _credential;
        private readonly Action<ServiceException> _onSignedOut;
        private readonly CancellationTokenSource _stopped = new CancellationTokenSource();
        private double _giveUpAfter = 60; // seconds, of the first connection
        private Task<string> _pending;
        private ServiceException _signedOut;

        public ServiceTokenProvider(
            string service,
            string apiKey,
            Func<bool, Task<string>> credential,
            Action<ServiceException> onSignedOut)
        {
            _service = service;
            _apiKey = apiKey;
            _credential = credential;
            _onSignedOut = onSignedOut;
        }

        /// <summary>Call it before you disconnect: a call that waits for the service then ends.</summary>
        public void Stop() => _stopped.Cancel();

        /// <summary>The service compares the ID with the user of the credential.</summary>
        public Task<string> GetTokenAsync(string userId)
        {
            if (_signedOut != null)
            {
                return Task.FromException<string>(_signedOut);
            }

            if (_pending == null || _pending.IsCompleted)
            {
                _pending = RequestUntilDoneAsync(userId);
            }

            return _pending;
        }

        private async Task<string> RequestUntilDoneAsync(string userId)
        {
            _stopped.Token.ThrowIfCancellationRequested();
            try
            {
                var token = await Retry.RunAsync(
                    async refresh => await RequestAsync(userId, await _credential(refresh)),
                    _giveUpAfter,
                    _stopped.Token);
                _giveUpAfter = double.PositiveInfinity;
                return token;
            }
            catch (ServiceException error) when (error.SignInAgain && !_stopped.IsCancellationRequested)
            {
                _signedOut = error;
                _onSignedOut(error);
                throw;
            }
        }

        private async Task<string> RequestAsync(string userId, string credential)
        {
            var query = $"api_key={Uri.EscapeDataString(_apiKey)}&user_id={Uri.EscapeDataString(userId)}";
            var request = UnityWebRequest.Get($"{_service}/v1/token?{query}");
            request.SetRequestHeader("Accept", "text/plain");
            var token = await Service.SendAsync(request, credential);
            if (!Token.IsMatch(token))
            {
                throw new ServiceException(200, "", "The response has no token. It may come from a captive portal.", 0);
            }

            return token;
        }
    }
    // end provider

    public sealed class Chat : MonoBehaviour
    {
        // begin connect
        private IStreamChatClient _client;
        private ServiceTokenProvider _provider;
        private int _signIn; // its number: another one if the user has left, or was refused

        /// <summary>
        /// Connect the signed-in user: without a network, from what an earlier start stored. If the service
        /// answers otherwise, connect again.
        /// </summary>
        public async Task StartAsync(
            string service, Func<bool, Task<string>> credential, Action<ServiceException> onSignedOut)
        {
            var signIn = ++_signIn;
            void EndedByService(ServiceException error)
            {
                if (signIn == _signIn)
                {
                    _signIn++;
                    onSignedOut(error);
                }
            }

            var userId = PlayerPrefs.GetString("chat.user_id"); // not secret
            var apiKey = PlayerPrefs.GetString("chat.api_key");
            var connecting = apiKey == "" ? null : ConnectAsync(service, userId, apiKey, credential, EndedByService);
            (string UserId, string ApiKey) me;
            try
            {
                me = await Retry.GetMeAsync(service, credential);
            }
            catch (ServiceException error) when (error.SignInAgain)
            {
                EndedByService(error);
                throw;
            }
            catch (Exception error) when (connecting != null)
            {
                Debug.LogWarning("The stored user and key are not confirmed: " + error.Message);
                await connecting;
                return;
            }

            if (connecting != null && me == (userId, apiKey))
            {
                await connecting;
                return;
            }

            if (signIn == _signIn)
            {
                await CloseAsync(null);
            }

            if (signIn != _signIn)
            {
                return; // the user has left meanwhile
            }

            PlayerPrefs.SetString("chat.user_id", me.UserId);
            PlayerPrefs.SetString("chat.api_key", me.ApiKey);
            await ConnectAsync(service, me.UserId, me.ApiKey, credential, EndedByService);
        }

        private async Task ConnectAsync(
            string service,
            string userId,
            string apiKey,
            Func<bool, Task<string>> credential,
            Action<ServiceException> onSignedOut)
        {
            _provider = new ServiceTokenProvider(service, apiKey, credential, onSignedOut);
            _client = StreamChatClient.CreateDefaultClient();
            WatchAccess(service, credential, onSignedOut);
            var user = await _client.ConnectUserAsync(apiKey, userId, _provider);
            Debug.Log($"connected as {user.User.Id}");
        }
        // end connect

        // begin watch
        /// <summary>
        /// Leave an open connection when access ends. The event is a hint: only the service's answer counts.
        /// </summary>
        private void WatchAccess(
            string service, Func<bool, Task<string>> credential, Action<ServiceException> onSignedOut)
        {
            _client.LowLevelClient.EventReceived += async text =>
            {
                if (!text.Contains("<b>tokensvc_check</b>"))
                {
                    return;
                }

                try
                {
                    await Retry.GetMeAsync(service, credential);
                }
                catch (ServiceException error) when (error.SignInAgain)
                {
                    onSignedOut(error);
                }
                catch (Exception error)
                {
                    Debug.LogWarning(error.Message); // nothing changes
                }
            };
        }
        // end watch

        // begin switch
        /// <summary>Unregister the device, and disconnect. Then the next user can sign in.</summary>
        public Task DisconnectAsync(string deviceId = null)
        {
            _signIn++;
            PlayerPrefs.DeleteKey("chat.user_id");
            PlayerPrefs.DeleteKey("chat.api_key");
            return CloseAsync(deviceId);
        }

        private async Task CloseAsync(string deviceId)
        {
            if (_client == null)
            {
                return;
            }

            _provider.Stop();
            if (deviceId != null)
            {
                var devices = _client.LowLevelClient.DeviceApi;
                try
                {
                    await devices.RemoveDeviceAsync(deviceId, _client.LocalUserData.UserId);
                }
                catch (Exception error)
                {
                    Debug.LogWarning("The device stays registered at Stream: " + error.Message);
                }
            }

            await _client.DisconnectUserAsync();
            _client.Dispose();
            _client = null;
        }
        // end switch

        // begin development
        /// <summary>Connect without the service. Only an app with "Disable Auth Checks" accepts it.</summary>
        public async Task ConnectForDevelopmentAsync(string apiKey, string userId)
        {
            _client = StreamChatClient.CreateDefaultClient();
            var token = StreamChatClient.CreateDeveloperAuthToken(userId);
            await _client.ConnectUserAsync(apiKey, userId, token);
        }
        // end development
    }

    // begin firebase
    public static class FirebaseSignIn
    {
        /// <summary>The ID token of the Firebase user. An error of the network, for example, is retried.</summary>
        public static async Task<string> CredentialAsync(bool refresh)
        {
            var user = FirebaseAuth.DefaultInstance.CurrentUser ?? throw ServiceException.SignedOut();
            try
            {
                return await user.TokenAsync(refresh);
            }
            catch (Exception error) when (HasEnded(error.GetBaseException() as FirebaseException))
            {
                throw ServiceException.SignedOut(error.GetBaseException().Message);
            }
        }

        private static bool HasEnded(FirebaseException error)
        {
            var code = (AuthError)(error?.ErrorCode ?? 0);
            return code == AuthError.UserDisabled || code == AuthError.UserNotFound
                || code == AuthError.UserTokenExpired || code == AuthError.InvalidUserToken;
        }
    }
    // end firebase

    // begin account
    /// <summary>Where the session keeps its tokens, each under a name. PlayerPrefs is not encrypted.</summary>
    public interface ITokenStore
    {
        string this[string name] { get; set; }
    }

    /// <summary>A session with a built-in account. One refresh runs at a time.</summary>
    public sealed class AccountSession
    {
        private const string RefreshToken = "refresh-token";
        private const string Ending = "ending"; // of sessions whose sign-out did not reach the service
        private const int MostEnding = 10; // then the oldest is forgotten

        private readonly string _service;
        private readonly ITokenStore _store;
        private string _accessToken;
        private DateTime _renewAt;
        private Task<string> _pending;

        public AccountSession(string service, ITokenStore store)
        {
            _service = service;
            _store = store;
        }

        /// <summary>Create an account. It does not sign in.</summary>
        public Task SignUpAsync(string userId, string password, string invitation = null)
        {
            var account = new JObject { ["user_id"] = userId, ["password"] = password };
            if (invitation != null)
            {
                account["invitation"] = invitation;
            }

            return PostJsonAsync("/v1/accounts", account);
        }

        public async Task SignInAsync(string userId, string password) =>
            Keep(await PostJsonAsync(
                "/v1/sessions", new JObject { ["user_id"] = userId, ["password"] = password }));

        /// <summary>Pass it to `StartAsync`.</summary>
        public Task<string> CredentialAsync(bool refresh)
        {
            if (_accessToken != null && !refresh && DateTime.UtcNow < _renewAt)
            {
                return Task.FromResult(_accessToken);
            }

            if (_pending == null || _pending.IsCompleted)
            {
                _pending = RefreshAsync();
            }

            return _pending;
        }

        /// <summary>End the session here, and at the service: without a network, at the next start.</summary>
        public async Task SignOutAsync()
        {
            if (_store[RefreshToken] != null)
            {
                SetEnding(ReadEnding().Append(_store[RefreshToken]));
            }

            Forget();
            await FinishSignOutAsync();
        }

        /// <summary>Call it at each start of the app too.</summary>
        public async Task FinishSignOutAsync()
        {
            try
            {
                foreach (var token in ReadEnding())
                {
                    await PostFormAsync("/oauth/revoke", "token", token);
                    SetEnding(ReadEnding().Where(other => other != token));
                }
            }
            catch (ServiceException error)
            {
                Debug.LogWarning("The session ends at the next start: " + error.Message);
            }
        }

        private string[] ReadEnding() =>
            (_store[Ending] ?? "").Split(new[] { ' ' }, StringSplitOptions.RemoveEmptyEntries);

        private void SetEnding(IEnumerable<string> tokens)
        {
            var newest = string.Join(" ", tokens.Reverse().Take(MostEnding).Reverse());
            _store[Ending] = newest == "" ? null : newest;
        }

        /// <summary>Call it in `onSignedOut`: the service has ended the session.</summary>
        public void Forget()
        {
            _accessToken = null;
            _store[RefreshToken] = null;
        }

        private async Task<string> RefreshAsync()
        {
            var token = _store[RefreshToken] ?? throw ServiceException.SignedOut();
            try
            {
                return Keep(await PostFormAsync("/oauth/token", "refresh_token", token));
            }
            catch (ServiceException error) when (error.SignInAgain)
            {
                Forget();
                throw;
            }
        }

        private string Keep(JObject grant)
        {
            var token = Service.Text(grant, "access_token");
            _store[RefreshToken] = Service.Text(grant, "refresh_token");
            _renewAt = DateTime.UtcNow.AddSeconds((int)grant["expires_in"] - 30);
            _accessToken = token;
            return token;
        }

        private Task<JObject> PostJsonAsync(string path, JObject body)
        {
            var request = new UnityWebRequest(_service + path, UnityWebRequest.kHttpVerbPOST)
            {
                uploadHandler = new UploadHandlerRaw(System.Text.Encoding.UTF8.GetBytes(body.ToString())),
                downloadHandler = new DownloadHandlerBuffer(),
            };
            request.SetRequestHeader("Content-Type", "application/json");
            return Service.SendForJsonAsync(request);
        }

        private Task<JObject> PostFormAsync(string path, string name, string token)
        {
            var form = new Dictionary<string, string>
            {
                ["grant_type"] = "refresh_token", ["client_id"] = "app", [name] = token,
            };
            return Service.SendForJsonAsync(UnityWebRequest.Post(_service + path, form));
        }
    }
    // end account
}
