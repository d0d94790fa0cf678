// begin request
#pragma once

#include "Containers/Ticker.h"
#include "CoreMinimal.h"
#include "Dom/JsonObject.h"
#include "Event/Abstract/ChatEvent.h"
#include "ITokenProvider.h"

#include "ServiceTokens.generated.h"

class UStreamChatClientComponent;

/** A response of the service. Status 0: the service cannot be reached. */
struct FServiceResponse
{
    int32 Status = 0;
    float RetryAfter = 0.f;
    TSharedRef<FJsonObject> Json = MakeShared<FJsonObject>();

    FString Text(const FString& Member) const;
    /** A success has what was asked for: another server, such as a captive portal's, responds with 200 too. */
    bool Has(const FString& Member) const { return Status >= 200 && Status < 300 && !Text(Member).IsEmpty(); }
    bool IsSignInAgain() const;
    bool IsTryLater() const { return Status < 400 || Status == 429 || Status >= 500; }
};

/** Send one request: a POST if it has a body. The callback runs on the game thread. */
void SendToService(
    const FString& Url,
    const FString& Credential,
    const FString& Body,
    const FString& ContentType,
    TFunction<void(const FServiceResponse&)> Callback);

/** Receives a credential of the signed-in user, or, if it is empty, the response that prevents it. */
using FOnCredential = TFunction<void(const FString& Value, const FServiceResponse& Failure)>;

/** Calls back on the game thread. `bRefresh`: the service has refused the last credential. */
using FCredential = TFunction<void(bool bRefresh, FOnCredential Callback)>;
// end request

// begin watch
/** The service's hint that access may have ended. `Cid` is set if another user has sent it, in a channel. */
USTRUCT()
struct FTokensvcCheckEvent : public FChatEvent
{
    GENERATED_BODY()

    inline static FName StaticType = TEXT("tokensvc_check");

    UPROPERTY()
    FString Cid;
};
// end watch

// begin tokens
/**
 * The tokens of one sign-in: fetches one, and renews it before it expires.
 *
 * The SDK asks for a token before each request, on the game thread, and waits for it. Therefore a
 * token must be there already.
 */
class FServiceTokens final : public TSharedFromThis<FServiceTokens>
{
public:
    FServiceTokens(
        const FString& InService,
        const FString& InApiKey,
        FCredential InCredential,
        TFunction<void(const FString&)> InOnSignedOut);
    ~FServiceTokens();

    /** Fetch the first token, then call back. Connect after that. */
    void Start(TFunction<void()> OnFirstToken);
    /** Fetch a new token now, unless a request is running or waits for its next try. */
    void Renew();

    FString Current;

private:
    void Request(bool bRefresh);
    void HandleResponse(const FServiceResponse& Response, bool bRefresh);
    void RequestIn(float Seconds);
    bool OnTimer(float DeltaSeconds);

    FString Service;
    FString ApiKey;
    FCredential Credential;
    TFunction<void(const FString&)> OnSignedOut;
    TFunction<void()> FirstToken;
    FTSTicker::FDelegateHandle Timer;
    int32 Failures = 0;
    bool bBusy = false;
    bool bStopped = false;
};
// end tokens

// begin provider
/** What the SDK calls. It never waits. */
class FServiceTokenProvider final : public ITokenProvider
{
public:
    explicit FServiceTokenProvider(const TSharedRef<FServiceTokens>& InTokens) : Tokens(InTokens) {}

    virtual FToken LoadToken(const FString& UserId, bool bRefresh = false) const override
    {
        if (bRefresh)
        {
            Tokens->Renew();
        }
        return FToken::Jwt(Tokens->Current);
    }

private:
    TSharedRef<FServiceTokens> Tokens;
};
// end provider

// begin account
/** A session with a built-in account, in memory only. */
class FAccountSession final : public TSharedFromThis<FAccountSession>
{
public:
    explicit FAccountSession(const FString& InService) : Service(InService) {}

    void SignIn(const FString& UserId, const FString& Password, TFunction<void(const FServiceResponse&)> Done);
    /** Calls back with an access token, which it refreshes when needed. */
    void Credential(bool bRefresh, FOnCredential Callback);
    /** End the session here, and then at the service. Also call it when the user was signed out. */
    void SignOut();

private:
    bool Keep(const FServiceResponse& Response);
    void PostForm(const FString& Path, const FString& Name, TFunction<void(const FServiceResponse&)> Done);

    FString Service;
    FString AccessToken;
    FString RefreshToken;
    double RenewAt = 0.0;
    TArray<FOnCredential> Waiting;
};
// end account
