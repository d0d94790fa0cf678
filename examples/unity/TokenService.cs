// begin request
using System;
using System.Collections.Generic;
using System.Threading.Tasks;
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

        public bool TryLater => Status == 0 || Status == 429 || Status >= 500;
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

                var problem = Parse(text);
                int.TryParse(request.GetResponseHeader("Retry-After"), out var retryAfter);
                throw new ServiceException(
                    request.responseCode,
                    (string)problem["code"] ?? (string)problem["error"],
                    (string)problem["detail"] ?? (string)problem["error_description"]
                        ?? $"{request.url}: {request.error}",
                    retryAfter);
            }
        }

        public static JObject Parse(string text)
        {
            try
            {
                return JObject.Parse(text);
            }
            catch (Newtonsoft.Json.JsonException)
            {
                return new JObject(); // a page of a proxy
            }
        }
    }
    // end request

    // begin provider
    /// <summary>
    /// The token provider of one sign-in. It asks for `text/plain`: the body is the token.
    /// Create a new one after the next sign-in.
    /// </summary>
    public sealed class ServiceTokenProvider : ITokenProvider
    {
        private readonly string _service;
        private readonly string _apiKey;
        private readonly Func<bool, Task<string>> _credential;
        private readonly Action<ServiceException> _onSignedOut;
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
            var query = $"api_key={Uri.EscapeDataString(_apiKey)}&user_id={Uri.EscapeDataString(userId)}";
            var refresh = false;
            for (var attempt = 0; ; attempt++)
            {
                try
                {
                    var request = UnityWebRequest.Get($"{_service}/v1/token?{query}");
                    request.SetRequestHeader("Accept", "text/plain");
                    return await Service.SendAsync(request, await _credential(refresh));
                }
                catch (ServiceException error)
                {
                    if (error.SignInAgain)
                    {
                        _signedOut = error;
                        _onSignedOut(error);
                        throw;
                    }

                    var mayRefresh = error.Status == 401 && !refresh;
                    var pause = mayRefresh ? 0 : error.RetryAfter * 1000 + (500 << attempt);
                    if ((!error.TryLater && !mayRefresh) || attempt == 4 || pause > 15000)
                    {
                        throw;
                    }

                    refresh = mayRefresh;
                    await Task.Delay(pause);
                }
            }
        }
    }
    // end provider

    public sealed class Chat : MonoBehaviour
    {
        private IStreamChatClient _client;

        // begin connect
        /// <summary>Connect the signed-in user.</summary>
        public async Task ConnectAsync(
            string service, Func<bool, Task<string>> credential, Action<ServiceException> onSignedOut)
        {
            var request = UnityWebRequest.Get($"{service}/v1/me");
            var me = JObject.Parse(await Service.SendAsync(request, await credential(false)));
            var apiKey = (string)me["api_key"];
            var provider = new ServiceTokenProvider(service, apiKey, credential, onSignedOut);
            _client = StreamChatClient.CreateDefaultClient();
            WatchAccess(service, credential, onSignedOut);
            var user = await _client.ConnectUserAsync(apiKey, (string)me["user_id"], provider);
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
                    await Service.SendAsync(UnityWebRequest.Get($"{service}/v1/me"), await credential(false));
                }
                catch (ServiceException error)
                {
                    if (error.SignInAgain)
                    {
                        onSignedOut(error);
                    }
                }
            };
        }
        // end watch

        // begin switch
        /// <summary>Unregister the device, and disconnect. Then the next user can sign in.</summary>
        public async Task DisconnectAsync(string deviceId = null)
        {
            if (deviceId != null)
            {
                var devices = _client.LowLevelClient.DeviceApi;
                await devices.RemoveDeviceAsync(deviceId, _client.LocalUserData.UserId);
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
        /// <summary>The ID token of the Firebase user.</summary>
        public static Task<string> CredentialAsync(bool refresh) =>
            Firebase.Auth.FirebaseAuth.DefaultInstance.CurrentUser.TokenAsync(refresh);
    }
    // end firebase

    // begin account
    /// <summary>Where the session keeps its refresh token. PlayerPrefs is not encrypted.</summary>
    public interface ITokenStore
    {
        string RefreshToken { get; set; }
    }

    /// <summary>A session with a built-in account. One refresh runs at a time.</summary>
    public sealed class AccountSession
    {
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

        public async Task SignInAsync(string userId, string password)
        {
            var body = new JObject { ["user_id"] = userId, ["password"] = password }.ToString();
            var request = new UnityWebRequest($"{_service}/v1/sessions", UnityWebRequest.kHttpVerbPOST)
            {
                uploadHandler = new UploadHandlerRaw(System.Text.Encoding.UTF8.GetBytes(body)),
                downloadHandler = new DownloadHandlerBuffer(),
            };
            request.SetRequestHeader("Content-Type", "application/json");
            Keep(await Service.SendAsync(request));
        }

        /// <summary>Pass it to `ConnectAsync`.</summary>
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

        /// <summary>End the session here, and then at the service.</summary>
        public async Task SignOutAsync()
        {
            var token = _store.RefreshToken;
            Forget();
            if (token != null)
            {
                await PostFormAsync("/oauth/revoke", "token", token);
            }
        }

        /// <summary>Call it in `onSignedOut`: the service has ended the session.</summary>
        public void Forget()
        {
            _accessToken = null;
            _store.RefreshToken = null;
        }

        private async Task<string> RefreshAsync()
        {
            var token = _store.RefreshToken;
            if (token == null)
            {
                throw new ServiceException(401, "sign_in_required", "No user is signed in.", 0);
            }

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

        private string Keep(string response)
        {
            var grant = JObject.Parse(response);
            _store.RefreshToken = (string)grant["refresh_token"];
            _renewAt = DateTime.UtcNow.AddSeconds((int)grant["expires_in"] - 30);
            _accessToken = (string)grant["access_token"];
            return _accessToken;
        }

        private Task<string> PostFormAsync(string path, string name, string token)
        {
            var form = new Dictionary<string, string>
            {
                ["grant_type"] = "refresh_token", ["client_id"] = "app", [name] = token,
            };
            return Service.SendAsync(UnityWebRequest.Post(_service + path, form));
        }
    }
    // end account
}
