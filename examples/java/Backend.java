package com.example.backend;

import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Base64;

// begin backend
/** A Java backend whose own session has signed the user in. It needs no Stream secret. */
public final class Backend {
    private final HttpClient http = HttpClient.newBuilder().connectTimeout(Duration.ofSeconds(2)).build();
    private final URI tokenUrl;
    private final String basic;

    public Backend(String service, String clientId, String clientSecret) {
        tokenUrl = URI.create(service + "/v1/token");
        byte[] pair = (clientId + ":" + clientSecret).getBytes(StandardCharsets.UTF_8);
        basic = "Basic " + Base64.getEncoder().encodeToString(pair);
    }

    /**
     * Return the response for the app: pass on its status, body and Retry-After.
     *
     * @param userId of your session, never of the request; its characters are a-z, 0-9, @, _ and -
     * @param signedInAt when your session signed the user in, in epoch seconds
     */
    public HttpResponse<String> requestToken(String userId, long signedInAt) throws Exception {
        String body = String.format("{\"user_id\": \"%s\", \"auth_time\": %d}", userId, signedInAt);
        HttpRequest request = HttpRequest.newBuilder(tokenUrl)
                .timeout(Duration.ofSeconds(4))
                .header("Authorization", basic)
                .header("Content-Type", "application/json")
                .POST(HttpRequest.BodyPublishers.ofString(body))
                .build();
        return http.send(request, HttpResponse.BodyHandlers.ofString());
    }
}
// end backend
