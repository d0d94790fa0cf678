// begin request
#include "ServiceTokens.h"

#include "GenericPlatform/GenericPlatformHttp.h"
#include "HttpModule.h"
#include "Interfaces/IHttpResponse.h"
#include "Serialization/JsonSerializer.h"
#include "Serialization/JsonWriter.h"
#include "StreamChatClientComponent.h"
#include "User/User.h"
// end request

// begin request
FString FServiceResponse::Text(const FString& Member) const
{
    FString Value;
    Json->TryGetStringField(Member, Value);
    return Value;
}

bool FServiceResponse::IsSignInAgain() const
{
    const FString Code = Text(TEXT("code")) + Text(TEXT("error"));
    return Code == TEXT("sign_in_required") || Code == TEXT("user_suspended") || Code == TEXT("user_erased") || Code == TEXT("invalid_grant");
}

void SendToService(
    const FString& Url,
    const FString& Credential,
    const FString& Body,
    const FString& ContentType,
    TFunction<void(const FServiceResponse&)> Callback)
{
    const auto Request = FHttpModule::Get().CreateRequest();
    Request->SetURL(Url);
    Request->SetVerb(Body.IsEmpty() ? TEXT("GET") : TEXT("POST"));
    Request->SetTimeout(5.f);
    if (!Credential.IsEmpty())
    {
        Request->SetHeader(TEXT("Authorization"), TEXT("Bearer ") + Credential);
    }
    if (!Body.IsEmpty())
    {
        Request->SetHeader(TEXT("Content-Type"), ContentType);
        Request->SetContentAsString(Body);
    }
    Request->OnProcessRequestComplete().BindLambda(
        [Callback](FHttpRequestPtr, FHttpResponsePtr Http, bool bConnected)
        {
            FServiceResponse Response;
            if (bConnected && Http.IsValid())
            {
                Response.Status = Http->GetResponseCode();
                Response.RetryAfter = FCString::Atof(*Http->GetHeader(TEXT("Retry-After")));
                TSharedPtr<FJsonObject> Json;
                const auto Reader = TJsonReaderFactory<>::Create(Http->GetContentAsString());
                if (FJsonSerializer::Deserialize(Reader, Json) && Json.IsValid())
                {
                    Response.Json = Json.ToSharedRef();
                }
            }
            Callback(Response);
        });
    Request->ProcessRequest();
}

static FString ToJson(const TMap<FString, FString>& Members)
{
    FString Text;
    const auto Writer = TJsonWriterFactory<>::Create(&Text);
    Writer->WriteObjectStart();
    for (const auto& Member : Members)
    {
        Writer->WriteValue(Member.Key, Member.Value);
    }
    Writer->WriteObjectEnd();
    Writer->Close();
    return Text;
}
// end request

// begin tokens
FServiceTokens::FServiceTokens(
    const FString& InService,
    const FString& InApiKey,
    FCredential InCredential,
    TFunction<void(const FString&)> InOnSignedOut)
    : Service(InService), ApiKey(InApiKey), Credential(MoveTemp(InCredential)), OnSignedOut(MoveTemp(InOnSignedOut))
{
}

FServiceTokens::~FServiceTokens()
{
    FTSTicker::GetCoreTicker().RemoveTicker(Timer);
}

void FServiceTokens::Start(TFunction<void()> OnFirstToken)
{
    FirstToken = MoveTemp(OnFirstToken);
    Request(false);
}

void FServiceTokens::Renew()
{
    if (!bBusy && !bStopped)
    {
        Request(false);
    }
}

void FServiceTokens::Request(const bool bRefresh)
{
    bBusy = true;
    FTSTicker::GetCoreTicker().RemoveTicker(Timer);
    Credential(
        bRefresh,
        [Weak = AsWeak(), bRefresh](const FString& Value, const FServiceResponse& Failure)
        {
            const TSharedPtr<FServiceTokens> Self = Weak.Pin();
            if (!Self.IsValid())
            {
                return;    // the user was disconnected
            }
            if (Value.IsEmpty())
            {
                Self->HandleResponse(Failure, bRefresh);
                return;
            }
            SendToService(
                Self->Service + TEXT("/v1/token"),
                Value,
                ToJson({{TEXT("api_key"), Self->ApiKey}}),
                TEXT("application/json"),
                [Weak, bRefresh](const FServiceResponse& Response)
                {
                    if (const TSharedPtr<FServiceTokens> Still = Weak.Pin())
                    {
                        Still->HandleResponse(Response, bRefresh);
                    }
                });
        });
}

void FServiceTokens::HandleResponse(const FServiceResponse& Response, const bool bRefresh)
{
    if (Response.Has(TEXT("token")))
    {
        Failures = 0;
        bBusy = false;
        Current = Response.Text(TEXT("token"));
        RequestIn(0.8f * Response.Json->GetNumberField(TEXT("expires_in")));
        const TFunction<void()> Callback = MoveTemp(FirstToken);
        FirstToken = nullptr;
        if (Callback)
        {
            Callback();
        }
    }
    else if (Response.Status == 401 && !Response.IsSignInAgain() && !bRefresh)
    {
        Request(true);
    }
    else if (Response.IsTryLater())
    {
        Failures = FMath::Min(Failures + 1, 6);
        RequestIn(FMath::Min(Response.RetryAfter + 0.25f * (1 << Failures), 30.f));
    }
    else
    {
        bStopped = true;
        UE_LOG(LogTemp, Error, TEXT("No chat token: %s"), *Response.Text(TEXT("detail")));
        if (Response.IsSignInAgain() || Response.Status == 401)    // the user must sign in again
        {
            OnSignedOut(Response.Text(TEXT("detail")));
        }
    }
}

void FServiceTokens::RequestIn(const float Seconds)
{
    const auto Delegate = FTickerDelegate::CreateSP(this, &FServiceTokens::OnTimer);
    Timer = FTSTicker::GetCoreTicker().AddTicker(Delegate, Seconds);
}

bool FServiceTokens::OnTimer(float)
{
    Request(false);
    return false;    // once
}
// end tokens

// begin watch
/** Leave an open connection when access ends: only the service's answer counts. Call it once connected. */
void WatchAccess(
    UStreamChatClientComponent* Client,
    const FString& Service,
    const FCredential& Credential,
    TFunction<void(const FString&)> OnSignedOut)
{
    const auto Leave = [=](const FServiceResponse& Me)
    {
        if (Me.IsSignInAgain())
        {
            OnSignedOut(Me.Text(TEXT("detail")));
        }
    };
    const auto Ask = [=](const FString& Value, const FServiceResponse& Failure)
    {
        if (Value.IsEmpty())
        {
            Leave(Failure);
            return;
        }
        SendToService(Service + TEXT("/v1/me"), Value, FString(), FString(), Leave);
    };
    Client->On<FTokensvcCheckEvent>(
        [=](const FTokensvcCheckEvent& Event)
        {
            if (Event.Cid.IsEmpty())
            {
                Credential(false, Ask);
            }
        });
}
// end watch

// begin connect
/** Ask who the signed-in user is on Stream. A failure that passes is retried for about a minute. */
static void AskWhoItIs(
    const FString& Service,
    const FCredential& Credential,
    TFunction<void(const FServiceResponse&)> Done,
    const int32 Failures = 0,
    const bool bRefresh = false)
{
    const auto Handle = [=](const FServiceResponse& Me)
    {
        if (Me.Status == 401 && !Me.IsSignInAgain() && !bRefresh)
        {
            AskWhoItIs(Service, Credential, Done, Failures, true);
            return;
        }
        if (Me.Has(TEXT("api_key")) || !Me.IsTryLater() || Failures == 8)
        {
            Done(Me);
            return;
        }
        const auto AskAgain = [=](float)
        {
            AskWhoItIs(Service, Credential, Done, Failures + 1);
            return false;    // once
        };
        const float Pause = FMath::Min(Me.RetryAfter + 0.25f * (1 << Failures), 30.f);
        FTSTicker::GetCoreTicker().AddTicker(FTickerDelegate::CreateLambda(AskAgain), Pause);
    };
    Credential(
        bRefresh,
        [=](const FString& Value, const FServiceResponse& Failure)
        {
            if (Value.IsEmpty())
            {
                Handle(Failure);
                return;
            }
            SendToService(Service + TEXT("/v1/me"), Value, FString(), FString(), Handle);
        });
}

/** Connect the signed-in user. `OnSignedOut` shows the sign-in; the user is disconnected already. */
void ConnectChat(
    UStreamChatClientComponent* Component,
    const FString& Service,
    const FCredential& Credential,
    TFunction<void(const FString&)> OnSignedOut)
{
    const TWeakObjectPtr<UStreamChatClientComponent> Client(Component);
    const auto Connect = [=](const FServiceResponse& Me)
    {
        if (!Client.IsValid() || !Me.Has(TEXT("api_key")))
        {
            UE_LOG(LogTemp, Error, TEXT("Chat is not connected: %s"), *Me.Text(TEXT("detail")));
            if (Client.IsValid() && (Me.IsSignInAgain() || Me.Status == 401))
            {
                OnSignedOut(Me.Text(TEXT("detail")));
            }
            return;
        }
        Client->ApiKey = Me.Text(TEXT("api_key"));
        FUser User{Me.Text(TEXT("user_id"))};
        User.bInvisible = false;    // the SDK has no other privacy setting
        const auto Disconnect = [=](const FString& Detail)
        {
            if (Client.IsValid())
            {
                Client->DisconnectUser();
            }
            OnSignedOut(Detail);
        };
        const auto Tokens = MakeShared<FServiceTokens>(Service, Client->ApiKey, Credential, Disconnect);
        const TWeakPtr<FServiceTokens> Weak(Tokens);
        const auto DisconnectOnce = [=](const FString& Detail)
        {
            if (Weak.IsValid())    // else the SDK has released the provider: the user has left
            {
                Disconnect(Detail);
            }
        };
        Tokens->Start(
            [=]
            {
                if (Client.IsValid())
                {
                    const auto Watch = [=](const auto&)
                    { WatchAccess(Client.Get(), Service, Credential, DisconnectOnce); };
                    Client->ConnectUser(User, MakeUnique<FServiceTokenProvider>(Tokens), Watch);
                }
            });
    };
    AskWhoItIs(Service, Credential, Connect);
}
// end connect

// begin switch
/** Unregister the device, disconnect the user, and connect the one who has signed in since. */
void SwitchUser(
    UStreamChatClientComponent* Client,
    const FString& DeviceId,
    const FString& Service,
    const FCredential& NextCredential,
    TFunction<void(const FString&)> OnSignedOut)
{
    if (!DeviceId.IsEmpty())
    {
        Client->RemoveDevice(DeviceId);
    }
    Client->DisconnectUser();
    ConnectChat(Client, Service, NextCredential, OnSignedOut);
}
// end switch

// begin account
void FAccountSession::SignIn(
    const FString& UserId, const FString& Password, TFunction<void(const FServiceResponse&)> Done)
{
    SendToService(
        Service + TEXT("/v1/sessions"),
        FString(),
        ToJson({{TEXT("user_id"), UserId}, {TEXT("password"), Password}}),
        TEXT("application/json"),
        [Self = AsShared(), Done](const FServiceResponse& Response)
        {
            Self->Keep(Response);
            Done(Response);
        });
}

void FAccountSession::Credential(const bool bRefresh, FOnCredential Callback)
{
    FServiceResponse SignedOut;
    SignedOut.Status = 401;
    const bool bUsable = !bRefresh && FPlatformTime::Seconds() < RenewAt;
    if (bUsable || RefreshToken.IsEmpty())
    {
        Callback(bUsable ? AccessToken : FString(), SignedOut);
        return;
    }
    Waiting.Add(MoveTemp(Callback));
    if (Waiting.Num() > 1)
    {
        return;    // one refresh for all callers
    }
    PostForm(
        TEXT("/oauth/token"),
        TEXT("refresh_token"),
        [Self = AsShared()](const FServiceResponse& Response)
        {
            const FString Value = Self->Keep(Response) ? Self->AccessToken : FString();
            if (Response.IsSignInAgain())
            {
                Self->RefreshToken.Empty();
            }
            const auto Callers = MoveTemp(Self->Waiting);
            Self->Waiting.Empty();
            for (const auto& Caller : Callers)
            {
                Caller(Value, Response);
            }
        });
}

void FAccountSession::SignOut()
{
    if (!RefreshToken.IsEmpty())
    {
        PostForm(TEXT("/oauth/revoke"), TEXT("token"), [](const FServiceResponse&) {});
    }
    AccessToken.Empty();
    RefreshToken.Empty();
    RenewAt = 0.0;
}

bool FAccountSession::Keep(const FServiceResponse& Response)
{
    if (!Response.Has(TEXT("access_token")) || !Response.Has(TEXT("refresh_token")))
    {
        return false;
    }
    RefreshToken = Response.Text(TEXT("refresh_token"));
    AccessToken = Response.Text(TEXT("access_token"));
    RenewAt = FPlatformTime::Seconds() + Response.Json->GetNumberField(TEXT("expires_in")) - 30.0;
    return true;
}

void FAccountSession::PostForm(
    const FString& Path, const FString& Name, TFunction<void(const FServiceResponse&)> Done)
{
    const FString Token = FGenericPlatformHttp::UrlEncode(RefreshToken);
    const FString Form =
        FString::Printf(TEXT("grant_type=refresh_token&client_id=app&%s=%s"), *Name, *Token);
    SendToService(Service + Path, FString(), Form, TEXT("application/x-www-form-urlencoded"), MoveTemp(Done));
}
// end account

// begin development
/** Connect without the service. Only an app with "Disable Auth Checks" accepts this token. */
void ConnectForDevelopment(UStreamChatClientComponent* Client, const FString& UserId)
{
    const FUser User{UserId};
    Client->ConnectUser(User, Client->DevToken(UserId));
}
// end development
